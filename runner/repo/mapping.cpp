#include "runner/repo/mapping.h"

#include <sys/mman.h>
#include <unistd.h>

#include "common/error.h"

namespace dstack::runner::repo {

Mapping::Mapping(int fd, std::uint64_t start, std::uint64_t size) {
  if (size == 0) return;
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t first = start / page * page;
  skip_ = static_cast<std::size_t>(start - first);
  size_ = static_cast<std::size_t>(size) + skip_;
  void* data = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, static_cast<off_t>(first));
  if (data == MAP_FAILED) throw os_error("map", "a temporary file");
  data_ = data;
}

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

std::string_view Mapping::view() const {
  if (data_ == nullptr) return {};
  return std::string_view(static_cast<const char*>(data_), size_).substr(skip_);
}

}  // namespace dstack::runner::repo
