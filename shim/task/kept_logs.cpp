#include "shim/task/kept_logs.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <format>
#include <optional>
#include <vector>

#include "common/error.h"
#include "common/os/file.h"
#include "common/os/remove_tree.h"
#include "common/os/unique_fd.h"
#include "common/text/quantity.h"

namespace dstack::shim::task {

namespace {

namespace fs = std::filesystem;

constexpr std::array kRunnerLogs{"job.log", "default.log", "runner.log"};
constexpr const char* kPullLog = "pull.log";
constexpr const char* kOutput = "output.log";
constexpr std::uint64_t kBlockBytes = 512;

// A plain file with one name: anything else could be another file than the job's.
void move_log(const os::UniqueFd& from, const char* name, const os::UniqueFd& to) {
  const os::UniqueFd file(::openat(from.get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0) return;
  if (!S_ISREG(status.st_mode) || status.st_nlink != 1 || status.st_size == 0) return;
  if (::fchown(file.get(), 0, 0) != 0 || ::fchmod(file.get(), 0600) != 0 ||
      ::renameat(from.get(), name, to.get(), name) != 0) {
    throw os_error("keep", name);
  }
}

os::UniqueFd open_folder(const fs::path& path) {
  return os::UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

struct Kept {
  std::string name;
  std::int64_t time = 0;  // of what was written last, in seconds since the epoch
  std::uint64_t bytes = 0;
};

Kept look_at(const fs::path& folder, const std::string& name) {
  Kept kept{.name = name};
  for (const std::string& file : os::list_folder(folder / name)) {
    struct stat status{};
    if (::lstat((folder / name / file).c_str(), &status) != 0) continue;
    kept.time = std::max<std::int64_t>(kept.time, status.st_mtim.tv_sec);
    kept.bytes += static_cast<std::uint64_t>(status.st_blocks) * kBlockBytes;
  }
  return kept;
}

}  // namespace

LogLimits parse_log_limits(std::string_view text) {
  const std::size_t comma = text.find(',');
  const auto size = text::parse_size(text.substr(0, comma));
  const auto age = comma == std::string_view::npos ? std::nullopt : text::parse_duration(text.substr(comma + 1));
  if (!size || !age || *size == 0 || age->count() == 0) {
    throw Error(ErrorKind::invalid, std::format("invalid value {}: expected SIZE,AGE, as 10G,30d", printable(text)));
  }
  return {.bytes = *size, .age = *age};
}

void KeptLogs::keep(const std::string& container_name, const fs::path& runner_folder, const fs::path& journal_folder,
                    const std::function<void(int fd)>& write_output) {
  try {
    const os::Lock lock(mutex_);
    keep_locked(container_name, runner_folder, journal_folder, write_output);
  } catch (const std::exception& error) {
    spdlog::warn("The logs of container {} are not kept: {}", printable(container_name), error.what());
  }
  prune();
}

void KeptLogs::keep_locked(const std::string& container_name, const fs::path& runner_folder,
                           const fs::path& journal_folder, const std::function<void(int fd)>& write_output) {
  const fs::path kept = folder_ / container_name;
  os::make_directories(folder_, 0700);
  os::make_directories(kept, 0700);
  const os::UniqueFd target = os::open_file(kept, O_RDONLY | O_DIRECTORY);
  if (const os::UniqueFd folder = open_folder(runner_folder)) {
    for (const char* name : kRunnerLogs) move_log(folder, name, target);
  }
  if (const os::UniqueFd folder = open_folder(journal_folder)) move_log(folder, kPullLog, target);
  if (write_output) {
    const os::UniqueFd file(::openat(target.get(), kOutput, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file) throw os_error("create", kOutput);
    write_output(file.get());
  }
  ::rmdir(kept.c_str());  // if nothing was there to keep
}

void KeptLogs::prune() {
  const os::Lock lock(mutex_);
  std::vector<Kept> all;
  for (const std::string& name : os::list_folder(folder_)) all.push_back(look_at(folder_, name));
  std::ranges::sort(all, {}, &Kept::time);
  std::uint64_t total = 0;
  for (const Kept& kept : all) total += kept.bytes;
  const std::int64_t now = os::unix_seconds(clock_.wall());
  for (const Kept& kept : all) {
    if (total <= limits_.bytes && now - kept.time <= limits_.age.count()) continue;
    try {
      os::remove_tree(folder_, kept.name);
      total -= kept.bytes;
    } catch (const std::exception& error) {
      spdlog::warn("{}", error.what());
    }
  }
}

}  // namespace dstack::shim::task
