#pragma once

#include <filesystem>
#include <optional>

#include "common/os/unique_fd.h"

namespace dstack::shim::ci {

// Where launchers keep their folders: /var/lib/dstack-ci, or ~/.dstack/ci of a user who is not root.
std::filesystem::path default_parent();

// A launcher's work folder, taken: one launcher, or one that cleans up after it, works in it at a time. What lies in
// it:
//   launcher.json  the journal          launcher.lock  held while this lives
//   state/         the drivers' own     state/owner    held as well: a shim ends tasks whose owner has gone
//   shim/          home of an own shim  config.toml    the agent's     going-away  made by whoever ends the machine
//   agents/        GitHub: a folder for each agent (github/agent_folder.h)
class WorkFolder {
 public:
  // Makes it if it is missing, 0700. Throws Error (conflict) if another process has taken it.
  explicit WorkFolder(std::filesystem::path path);
  // Nothing if another process has taken it, or it is not a launcher's.
  static std::optional<WorkFolder> take_over(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path state() const { return path_ / "state"; }
  std::filesystem::path agents() const { return path_ / "agents"; }
  std::filesystem::path shim() const { return path_ / "shim"; }
  std::filesystem::path going_away() const { return path_ / "going-away"; }
  std::filesystem::path agent_config() const { return path_ / "config.toml"; }
  // Whether this made it, or an earlier launcher that left nothing but its lock in it.
  bool was_made() const { return made_; }

  // Makes state/ and takes its owner.
  void hold_tasks();
  // Removes what launchers make in it, and the folder itself where `also_folder` and nothing else is in it. Throws
  // Error.
  void clear(bool also_folder);

 private:
  WorkFolder(std::filesystem::path path, os::UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  std::filesystem::path path_;
  bool made_ = false;
  os::UniqueFd lock_;
  os::UniqueFd owner_;
};

// Whether a process has taken it.
bool is_taken(const std::filesystem::path& path);

}  // namespace dstack::shim::ci
