#include "shim/ci/file_appears.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>

#include "common/error.h"

namespace dstack::shim::ci {

FileAppears::FileAppears(std::filesystem::path file)
    : file_(std::move(file)), watch_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  const std::filesystem::path folder = file_.parent_path();
  if (!watch_ || ::inotify_add_watch(watch_.get(), folder.c_str(), IN_CREATE | IN_MOVED_TO) < 0)
    throw os_error("watch", folder.string());
}

bool FileAppears::appeared() const {
  std::array<char, 4096> events;
  while (::read(watch_.get(), events.data(), events.size()) > 0) continue;
  std::error_code failure;
  return std::filesystem::exists(file_, failure);
}

}  // namespace dstack::shim::ci
