#include "shim/home_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <chrono>
#include <condition_variable>
#include <format>
#include <mutex>

#include "common/error.h"
#include "common/os/clock.h"
#include "common/os/file.h"

namespace dstack::shim {

namespace {

constexpr std::chrono::seconds kPredecessorLimit{8};
constexpr std::chrono::milliseconds kLockPause{20};

}  // namespace

HomeLock::HomeLock(const std::filesystem::path& home) {
  os::make_directories(home, 0755);
  fd_ = os::open_file(home / "shim.lock", O_RDWR | O_CREAT, 0600);
  os::Clock& clock = os::system_clock();
  const auto deadline = clock.now() + kPredecessorLimit;
  std::mutex mutex;
  std::condition_variable unused;
  std::unique_lock guard(mutex);
  while (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) throw os_error("lock", (home / "shim.lock").string());
    if (clock.now() >= deadline) {
      throw Error(ErrorKind::conflict, std::format("another dstack-shim works in {}", home.string()));
    }
    // flock(2) cannot wait with a limit.
    clock.wait_until(guard, unused, clock.now() + kLockPause, [] { return false; });
  }
}

}  // namespace dstack::shim
