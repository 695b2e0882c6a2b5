#pragma once

#include <cstdint>
#include <string>

#include "shim/ci/container_flags.h"
#include "shim/ci/containers.h"
#include "shim/ci/github/agent_work.h"
#include "shim/ci/github/create_options.h"
#include "shim/ci/github/hook_request.h"
#include "shim/ci/job_names.h"

namespace dstack::shim::ci::github {

// What a container is for.
enum class Use { job, service, step };

// How many GPUs the containers of a job may have together, -1 being all.
struct GpuBudget {
  std::int64_t limit = 0;
  std::int64_t asked = 0;  // of the containers so far

  // For one container: what it asks for, or `otherwise`. Throws Error (invalid) that names --gpus for more than is
  // left.
  std::int64_t take(const std::optional<std::int64_t>& wanted, std::int64_t otherwise);
  // -1: all
  std::int64_t left() const { return limit < 0 ? -1 : limit - asked; }
};

// What requests are made of.
struct RequestRules {
  const ContainerFlags& flags;
  const AgentWork& work;
  const JobNames& names;
};

// A task for a container of the agent's, without its process: limits, mounts, variables, the options of the workflow. A
// limit above the launcher's is cut to that, which is said. Throws Error (invalid) for what a job may not have.
ContainerRequest container_request(const RequestRules& rules, Use use, const std::string& role,
                                   const HookContainer& container, const CreateOptions& options, GpuBudget& gpus);

// The names of a service in the job's network, each once: by the workflow, by its options, by its image's path.
std::vector<std::string> service_aliases(const HookContainer& service, const CreateOptions& options);

}  // namespace dstack::shim::ci::github
