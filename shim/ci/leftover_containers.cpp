#include "shim/ci/leftover_containers.h"

#include <spdlog/spdlog.h>

#include "shim/ci/containers.h"
#include "shim/ci/github/agent_folder.h"
#include "shim/ci/job_names.h"
#include "shim/ci/job_note.h"
#include "shim/ci/own_shim.h"

namespace dstack::shim::ci {

void remove_leftover_containers(const WorkFolder& folder, const std::string& ci, int shim_port) {
  github::remove_containers_of_agents(folder.agents(), shim_port);
  const auto jobs = noted_jobs(folder.state());
  if (jobs.empty() || !shim_answers(shim_port)) return;
  client::ShimApi shim(shim_port);
  for (const std::string& job : jobs) {
    try {
      const JobNames names(ci, job);
      Containers(shim, names, {}).remove_all();
    } catch (const std::exception& error) {
      spdlog::warn("The containers of job {}: {}", job, error.what());
    }
  }
}

}  // namespace dstack::shim::ci
