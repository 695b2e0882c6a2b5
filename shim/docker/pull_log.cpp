#include "shim/docker/pull_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <spdlog/spdlog.h>
#include <array>

#include "common/os/file.h"

namespace dstack::shim::docker {

PullLog::PullLog(const std::filesystem::path& path) {
  if (path.empty()) return;
  try {
    file_ = os::open_file(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
  } catch (const std::exception& error) {
    spdlog::warn("{}; the pull continues without it", error.what());
  }
}

void PullLog::append(std::string_view data) {
  if (!file_) return;
  try {
    os::write_all(file_.get(), data, "pull.log");
  } catch (const std::exception& error) {
    spdlog::warn("{}; the pull continues without it", error.what());
    file_.reset();
  }
}

void PullLog::append_all_of(const PullLog& other) {
  std::array<char, 1 << 16> buffer{};
  off_t at = 0;
  while (other.file_ && file_) {
    const ssize_t size = ::pread(other.file_.get(), buffer.data(), buffer.size(), at);
    if (size <= 0) return;
    append({buffer.data(), static_cast<std::size_t>(size)});
    at += size;
  }
}

}  // namespace dstack::shim::docker
