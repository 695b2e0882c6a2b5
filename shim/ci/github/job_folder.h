#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "common/os/user_db.h"
#include "shim/ci/job_names.h"

namespace dstack::shim::ci::github {

// What the hooks of one job let each other know, in their folder.
struct JobRecord {
  std::string job;  // of its own; the agent hands it from hook to hook in their state
  bool has_container = false;
  std::string image;  // of the job's container
  std::string user;   // that its steps run as
  // What the container has in place of a variable that a step lacks; empty: nothing.
  std::string path;
  std::string home;
  std::uint64_t memory = 0;       // bytes, of the container; 0: no limit
  std::int64_t asked_gpus = 0;    // of all its containers
  std::string work_folder;        // in the container: the agent's, with what jobs leave behind; empty: none
  std::optional<os::UserId> uid;  // that the agent's work folder is given back to
  std::optional<os::UserId> gid;
};

// The hooks' folder. An agent runs one job after the other, and all hooks of one have the same folder, so it also names
// what belongs to the job: what an earlier one left is found without its state.
class JobFolder {
 public:
  explicit JobFolder(const std::filesystem::path& state);

  const std::filesystem::path& path() const { return path_; }
  const JobNames& names() const { return names_; }
  // For a new job: names this folder, so that the state of another's job is told apart.
  std::string new_job() const;
  bool is_own(const std::string& job) const { return job.starts_with(names_.task_prefix()); }

  // Nothing before prepare_job and after cleanup_job. Throws Error.
  std::optional<JobRecord> read() const;
  void write(const JobRecord& record) const;
  void forget() const;

 private:
  std::filesystem::path path_;
  JobNames names_;
};

// Ends and removes what a job of this folder has at the shim: containers, their network, their volumes. For a launcher,
// when the agent has ended in whatever way; twice is no harm. Throws Error.
void remove_job_containers(const std::filesystem::path& state, int shim_port);

}  // namespace dstack::shim::ci::github
