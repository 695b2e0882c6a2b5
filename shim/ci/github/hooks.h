#pragma once

#include <optional>

#include "shim/ci/containers.h"
#include "shim/ci/github/agent_work.h"
#include "shim/ci/github/hook.h"
#include "shim/ci/github/hook_request.h"
#include "shim/ci/github/job_folder.h"

namespace dstack::shim::ci::github {

inline constexpr const char* kJobRole = "job";

// What all hooks know.
struct Hook {
  const HookOptions& options;
  HookRequest request;
  AgentWork work;
  JobFolder folder;
  client::ShimApi shim;
  Containers containers;

  Hook(const HookOptions& hook_options, HookRequest hook_request);

  // The job whose state the agent handed over; nothing if it handed none. Throws Error (conflict) for that of another.
  std::optional<JobRecord> find_job() const;
  // That of the request. Throws Error (invalid) where it has none.
  HookContainer& container();
};

// Each throws Error.

// The services, then the container that the job's steps run in. Answers with what the agent lets the steps know of
// them.
void prepare_job(Hook& hook);
// Both return the exit status of the step's program.
int run_script_step(Hook& hook);
int run_container_step(Hook& hook);
// Removes everything, whether or not the job was prepared, and gives what it left on disk to the agent's user.
void cleanup_job(Hook& hook);

}  // namespace dstack::shim::ci::github
