#include "shim/component/file_version.h"

#include <spdlog/spdlog.h>

#include <cerrno>

#include "common/error.h"
#include "shim/component/download.h"

namespace dstack::shim::component {

namespace {

bool same(const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

bool is_same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size && a.st_mode == b.st_mode &&
         same(a.st_mtim, b.st_mtim) && same(a.st_ctim, b.st_ctim);
}

}  // namespace

FileVersion::Answer FileVersion::ask(const std::stop_token& stop) const {
  const os::Lock lock(mutex_);
  struct stat status{};
  if (::stat(file_.c_str(), &status) != 0) {
    asked_.reset();
    return {.exists = errno != ENOENT && errno != ENOTDIR, .version = {}};
  }
  if (asked_ && is_same_file(*asked_, status)) return {.exists = true, .version = version_};
  asked_.reset();
  try {
    version_ = ask_version(file_, name_, stop);
    asked_ = status;
    logged_.clear();
    return {.exists = true, .version = version_};
  } catch (const std::exception& error) {
    if (stop.stop_requested()) return {.exists = true, .version = {}};
    if (logged_ != error.what()) spdlog::error("{}", error.what());
    logged_ = error.what();
    return {.exists = true, .version = {}};
  }
}

}  // namespace dstack::shim::component
