#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/os/mutex.h"
#include "shim/task/task.h"

namespace dstack::shim::task {

// Whether a path is a folder right below `runners`, by name or through links. A path that cannot be followed is not.
bool is_runner_folder(const std::filesystem::path& path, const std::filesystem::path& runners);

// The folders of tasks:
//   <home>/tasks/<container_name>/    0700  the journal task.json (0600) and pull.log: the shim's own
//   <home>/runners/<container_name>/  0700  what the container sees as /tmp/runner, and may fill with anything
//
// The journal is replaced as one step, so that whenever the process is killed it is the old or the new one. A flush
// takes longer than all else that the shim does for a task, so there is one where the journal must outlive a power cut
// as well. Different tasks may be handled by different threads at the same time.
class TaskStore {
 public:
  // Makes both folders; throws Error.
  explicit TaskStore(const std::filesystem::path& home);

  // Makes the journal's folder and the journal in it, flushed. Throws Error, and then removes the folder; one that
  // cannot be removed is removed by the next add of this name, or by remove_half_made().
  void add(const TaskState& state) const;
  // Removes the folders that a failed add() could not. What still cannot be removed is logged and kept for the next
  // call.
  void remove_half_made() const;

  enum class Flush { now, later };
  // Replaces the journal. One that was not flushed and did not outlive a power cut leaves the last one that was.
  void save(const TaskState& state, Flush flush) const;
  // Every task with a journal. Folders without one are what an interrupted add or remove left: they are removed. A
  // journal that cannot be read is logged, and its folder renamed to "<container_name>.unreadable" for a person to look
  // at, so that its container can be taken over. No folder keeps the others from being loaded.
  std::vector<TaskState> load() const;

  // Makes the folder that the container sees, empty: what lies there by that name is removed before.
  void make_runner_folder(const std::string& container_name) const;
  // The names of the folders in runners/, those that were set aside excepted.
  std::vector<std::string> runner_folders() const;
  // Takes a folder's name from it, quickly, so that it can be removed while a new one is made.
  void set_runner_folder_aside(const std::string& container_name) const;
  // Throws Error for what cannot be removed; the rest is gone then.
  void remove_folders_set_aside() const;
  // Removes what the container saw, then the journal; what is gone already is fine.
  void remove(const std::string& container_name) const;

  std::filesystem::path runner_folder(const std::string& container_name) const { return runners_ / container_name; }
  std::filesystem::path pull_log(const std::string& container_name) const {
    return tasks_ / container_name / "pull.log";
  }
  // What the job has written, from `offset` on and `limit` bytes at most; nothing if no job has begun. The file lies
  // where the container can put anything, so only a plain file is read. Throws Error.
  std::optional<std::string> read_output(const std::string& container_name, std::uint64_t offset,
                                         std::size_t limit) const;
  // Whether this path is a runner folder of this home: whose container mounts it is ours.
  bool owns(const std::filesystem::path& runner_folder) const { return is_runner_folder(runner_folder, runners_); }
  // Whether a container is this home's: it mounts a runner folder of it, or, without a runner, its label says so.
  bool owns(const std::vector<docker::ContainerMount>& mounts,
            const std::map<std::string, std::string, std::less<>>& labels) const;
  const std::filesystem::path& home() const { return home_; }

 private:
  void set_aside(const std::string& container_name) const;
  void remove_half_made(const std::string& container_name) const DSTACK_REQUIRES(mutex_);

  std::filesystem::path home_;
  std::filesystem::path tasks_;
  std::filesystem::path runners_;

  mutable os::Mutex mutex_;
  // Names of folders in tasks/ that a failed add() left.
  mutable std::set<std::string> half_made_ DSTACK_GUARDED_BY(mutex_);
};

// Of one task's folder in tasks/; these change nothing, and may be called while a shim writes there.
// False for what is being made, before its first journal was flushed, or being removed.
bool has_journal(const std::filesystem::path& folder);
// The last journal, or the last that was flushed if it did not outlive a power cut. Throws Error.
TaskState read_journal(const std::filesystem::path& folder);

}  // namespace dstack::shim::task
