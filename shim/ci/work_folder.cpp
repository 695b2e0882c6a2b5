#include "shim/ci/work_folder.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <format>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/os/directory.h"
#include "common/os/file.h"
#include "common/os/remove_tree.h"
#include "shim/ci/journal.h"

namespace dstack::shim::ci {

namespace {

constexpr const char* kLockName = "launcher.lock";

// A lock that this process did not get is another's.
os::UniqueFd try_lock(const std::filesystem::path& file, int flags) {
  os::UniqueFd opened = os::open_file(file, flags, 0600);
  if (::flock(opened.get(), LOCK_EX | LOCK_NB) == 0) return opened;
  if (errno == EWOULDBLOCK) return {};
  throw os_error("lock", file.string());
}

// A launcher that is killed while it writes its journal leaves launcher.json.XXXXXX.
bool is_unfinished_journal(const std::string& name) { return name.starts_with("launcher.json."); }

// Left by a launcher that was killed before it had written its journal, or after it had removed it.
bool has_only_lock(const std::filesystem::path& folder) {
  bool has_lock = false;
  for (const std::string& name : os::list_directory(folder).names) {
    if (name != kLockName && !is_unfinished_journal(name)) return false;
    has_lock = has_lock || name == kLockName;
  }
  return has_lock;
}

}  // namespace

std::filesystem::path default_parent() {
  if (::geteuid() == 0) return "/var/lib/dstack-ci";
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home != nullptr && *home != '\0' ? home : "/") / ".dstack/ci";
}

WorkFolder::WorkFolder(std::filesystem::path path) : path_(std::move(path)) {
  std::error_code failure;
  made_ = !std::filesystem::exists(path_, failure) || has_only_lock(path_);
  os::make_directories(path_, 0700);
  const bool is_ours =
      made_ || std::filesystem::is_empty(path_, failure) || std::filesystem::exists(path_ / kLockName, failure);
  // A folder with other things in it keeps its mode: what is made in it is closed anyway.
  if (is_ours && ::chmod(path_.c_str(), 0700) != 0) throw os_error("change the mode of", path_.string());
  lock_ = try_lock(path_ / kLockName, O_RDWR | O_CREAT);
  if (!lock_)
    throw Error(ErrorKind::conflict, std::format("work folder {} is in use by another launcher", path_.string()));
}

std::optional<WorkFolder> WorkFolder::take_over(const std::filesystem::path& path) {
  std::error_code failure;
  if (!std::filesystem::exists(journal_file(path), failure)) return std::nullopt;
  os::UniqueFd lock = try_lock(path / kLockName, O_RDWR | O_CREAT);
  if (!lock) return std::nullopt;
  return WorkFolder(path, std::move(lock));
}

void WorkFolder::hold_tasks() {
  if (owner_) return;
  os::make_directories(state(), 0700);
  owner_ = try_lock(state() / "owner", O_RDWR | O_CREAT);
  if (!owner_) throw Error(ErrorKind::conflict, std::format("{} is locked by another process", state().string()));
}

void WorkFolder::clear(bool also_folder) {
  owner_.reset();
  for (const char* name : {"state", "shim", "config.toml", ".runner_system_id", "going-away"})
    os::remove_tree(path_, name);
  try {
    os::remove_tree(path_, "agents");
  } catch (const std::exception& error) {
    // A job's containers may have written as root what another user cannot remove. No later agent uses it.
    spdlog::warn("{}", error.what());
  }
  for (const std::string& name : os::list_directory(path_).names) {
    if (is_unfinished_journal(name)) os::remove_tree(path_, name);
  }
  // Last: until here it says what there is to remove.
  os::remove_tree(path_, "launcher.json");
  os::remove_tree(path_, kLockName);
  if (also_folder) ::rmdir(path_.c_str());  // fails where something else is in it
}

bool is_taken(const std::filesystem::path& path) {
  try {
    std::error_code failure;
    if (!std::filesystem::exists(path / kLockName, failure)) return false;
    return !try_lock(path / kLockName, O_RDWR);
  } catch (const std::exception&) {  // another user's
    return true;
  }
}

}  // namespace dstack::shim::ci
