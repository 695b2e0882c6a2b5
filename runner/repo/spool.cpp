#include "runner/repo/spool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/error.h"
#include "common/os/file.h"

namespace dstack::runner::repo {

namespace {

constexpr std::size_t buffer_size = std::size_t{1} << 18;

// A part of a file in memory. Nobody else has the file, so it never gets shorter.
class Mapping {
 public:
  Mapping(int fd, Spool::Range range) {
    if (range.size == 0) return;
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    const std::uint64_t start = range.start / page * page;
    skip_ = static_cast<std::size_t>(range.start - start);
    size_ = static_cast<std::size_t>(range.size) + skip_;
    data_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, static_cast<off_t>(start));
    if (data_ == MAP_FAILED) throw os_error("map", "a temporary file");
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (data_ != nullptr && data_ != MAP_FAILED) ::munmap(data_, size_);
  }
  std::string_view view() const {
    if (data_ == nullptr) return {};
    return std::string_view(static_cast<const char*>(data_), size_).substr(skip_);
  }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t skip_ = 0;
};

}  // namespace

Spool::Spool(const std::filesystem::path& folder) {
  std::string path = folder / "spool.XXXXXX";
  file_ = os::UniqueFd(::mkostemp(path.data(), O_CLOEXEC));
  if (!file_) throw os_error("create a temporary file in", folder.string());
  ::unlink(path.c_str());
}

void Spool::append(std::string_view data) {
  end_ += data.size();
  if (unwritten_.size() + data.size() <= buffer_size) {
    unwritten_ += data;
    return;
  }
  flush();
  if (data.size() < buffer_size) {
    unwritten_ = data;
  } else {
    os::write_all(file_.get(), data, "a temporary file");
  }
}

void Spool::flush() {
  os::write_all(file_.get(), unwritten_, "a temporary file");
  unwritten_.clear();
}

void Spool::read(Range range, const std::function<void(std::string_view)>& take) {
  flush();
  const Mapping mapping(file_.get(), range);
  take(mapping.view());
}

}  // namespace dstack::runner::repo
