#include "shim/ci/github/agent_cache.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <format>

#include "common/error.h"
#include "common/http/client.h"
#include "common/os/directory.h"
#include "common/os/file.h"
#include "shim/ci/requests.h"
#include "shim/component/checksum.h"
#include "shim/component/download.h"

namespace dstack::shim::ci::github {

using namespace std::chrono_literals;

namespace {

constexpr std::chrono::milliseconds kLockPause = 200ms;
// A download takes 10 minutes at most.
constexpr std::chrono::minutes kLockLimit = 15min;
constexpr mode_t kFileMode = 0644;
// GitHub brings out an agent about once a month, and refuses old ones.
constexpr std::chrono::hours kOldAge = 24h * 60;

}  // namespace

std::filesystem::path agent_cache_folder() {
  const char* given = std::getenv("CML_RUNNER_AGENT_CACHE");
  if (given != nullptr && *given != '\0') return std::filesystem::absolute(given).lexically_normal();
  if (::geteuid() == 0) return "/var/cache/dstack-ci";
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home != nullptr && *home != '\0' ? home : "/") / ".cache/dstack-ci";
}

// One launcher at a time downloads; the others find the file.
os::UniqueFd AgentCache::lock(const std::stop_token& stop) const {
  os::make_directories(folder_, 0755);
  const std::filesystem::path file = folder_ / "lock";
  os::UniqueFd opened = os::open_file(file, O_RDWR | O_CREAT, kFileMode);
  const os::SteadyTime end = clock_.now() + kLockLimit;
  while (::flock(opened.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) throw os_error("lock", file.string());
    if (clock_.now() > end)
      throw Error(ErrorKind::timed_out, std::format("{} is locked by another process for 15 min", file.string()));
    if (!os::pause(clock_, kLockPause, stop)) throw Error(ErrorKind::cancelled, "download the agent: cancelled");
  }
  return opened;
}

std::filesystem::path AgentCache::fetch(const AgentRelease& release, bool anew, const Patience& patience) {
  const os::UniqueFd held = lock(patience.stop);
  const std::filesystem::path file = folder_ / release.file_name;
  std::error_code failure;
  if (!anew && std::filesystem::is_regular_file(file, failure)) {
    if (component::sha256_of(file) == release.sha256) {
      // So that it does not count as old.
      std::filesystem::last_write_time(file, std::filesystem::file_time_type::clock::now(), failure);
      return file;
    }
    spdlog::warn("{} has changed: downloading it again", file.string());
  }
  download(release, file, patience);
  remove_old();
  return file;
}

void AgentCache::download(const AgentRelease& release, const std::filesystem::path& file, const Patience& patience) {
  component::remove_leftovers(file);
  spdlog::info("Downloading {} from {}", release.file_name, http::loggable_url(release.url));
  const os::SteadyTime end = clock_.now() + patience.network;
  GrowingPause growing;
  while (true) {
    try {
      component::Download download(release.url, file, patience.stop, kFileMode);
      const std::string sha256 = component::sha256_of(download.file());
      if (sha256 != release.sha256) {
        throw Error(ErrorKind::invalid, std::format("download {}: its SHA-256 checksum is {}, GitHub says {}",
                                                    http::loggable_url(release.url), sha256, release.sha256));
      }
      download.install();
      return;
    } catch (const std::exception& error) {
      const ErrorKind kind = error_kind(error);
      const std::chrono::seconds pause = growing.next();
      if ((kind != ErrorKind::unavailable && kind != ErrorKind::timed_out) || clock_.now() + pause > end) throw;
      if (!os::pause(clock_, pause, patience.stop)) throw Error(ErrorKind::cancelled, error.what());
    }
  }
}

void AgentCache::remove_old() const {
  for (const std::string& name : os::list_directory(folder_).names) {
    if (!name.starts_with("actions-runner-")) continue;
    std::error_code failure;
    const auto written = std::filesystem::last_write_time(folder_ / name, failure);
    if (!failure && written + kOldAge < std::filesystem::file_time_type::clock::now())
      std::filesystem::remove(folder_ / name, failure);
  }
}

}  // namespace dstack::shim::ci::github
