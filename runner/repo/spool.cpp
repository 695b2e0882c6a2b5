#include "runner/repo/spool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/error.h"
#include "common/os/file.h"
#include "runner/repo/mapping.h"

namespace dstack::runner::repo {

namespace {

constexpr std::size_t kBufferSize = std::size_t{1} << 18;

}  // namespace

Spool::Spool(const std::filesystem::path& folder) {
  std::string path = folder / "spool.XXXXXX";
  file_ = os::UniqueFd(::mkostemp(path.data(), O_CLOEXEC));
  if (!file_) throw os_error("create a temporary file in", folder.string());
  ::unlink(path.c_str());
}

void Spool::append(std::string_view data) {
  end_ += data.size();
  if (unwritten_.size() + data.size() <= kBufferSize) {
    unwritten_ += data;
    return;
  }
  flush();
  if (data.size() < kBufferSize) {
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
  const Mapping mapping(file_.get(), range.start, range.size);
  take(mapping.view());
}

}  // namespace dstack::runner::repo
