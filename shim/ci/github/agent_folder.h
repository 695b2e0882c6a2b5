#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>

#include "common/os/unique_fd.h"
#include "shim/ci/ci.h"
#include "shim/ci/container_flags.h"

namespace dstack::shim::ci::github {

// What one agent works in, for one job: a new folder, so that it finds nothing of an earlier job, and a job that has
// this one in reach has no later agent's. In it:
//   program/            the agent, with its _work         state/  the hooks' own; state/owner is locked while this
//   lives container-hook.sh   job-started.sh   job-completed.sh         job   which job it is, by job-started.sh
class AgentFolder {
 public:
  // Makes the folder, in `parent`. Throws Error.
  explicit AgentFolder(const std::filesystem::path& parent);
  AgentFolder(const AgentFolder&) = delete;
  AgentFolder& operator=(const AgentFolder&) = delete;
  // Leaves the folder, and lets the owner go.
  ~AgentFolder() = default;

  // Puts the agent in it: the content of a folder or of a .tar.gz. Throws Error.
  void put_program(const std::filesystem::path& agent, const std::stop_token& stop);
  // Writes the scripts that the agent is given. `flags` are the container hooks'. Throws Error.
  void write_hooks(const ContainerFlags& flags);

  std::filesystem::path program() const { return path_ / "program"; }
  std::filesystem::path state() const { return path_ / "state"; }
  std::filesystem::path container_hook() const { return path_ / "container-hook.sh"; }
  std::filesystem::path started_hook() const { return path_ / "job-started.sh"; }
  std::filesystem::path completed_hook() const { return path_ / "job-completed.sh"; }
  std::filesystem::path job_note() const { return path_ / "job"; }

  // Removes the containers that its job has left, then the folder. What cannot be removed is logged and stays for
  // WorkFolder::clear(). The agent has ended.
  void remove(int shim_port);

 private:
  std::filesystem::path path_;
  os::UniqueFd owner_;
};

// The job that the hook has noted; nothing before it has. `runner` is the id of the runner.
std::optional<CiJob> read_job(const std::filesystem::path& note, const std::string& runner);

// Whether it is a folder or a .tar.gz with an Actions agent, as far as can be seen. Throws Error that names --agent.
std::filesystem::path check_agent(const std::filesystem::path& given);

// Removes the containers of all agents' jobs in this folder at a shim. Problems are logged.
void remove_containers_of_agents(const std::filesystem::path& agents, int shim_port);

}  // namespace dstack::shim::ci::github
