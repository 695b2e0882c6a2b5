#include "shim/ci/github/hooks.h"

#include "common/error.h"
#include "shim/ci/owner_file.h"

namespace dstack::shim::ci::github {

Hook::Hook(const HookOptions& hook_options, HookRequest hook_request)
    : options(hook_options),
      request(std::move(hook_request)),
      work(find_agent_work()),
      folder(hook_options.state),
      shim(hook_options.containers.port()),
      containers(shim, folder.names(), owner_file(folder.path())) {}

HookContainer& Hook::container() {
  if (!request.container) throw Error(ErrorKind::invalid, "args: no container");
  return *request.container;
}

std::optional<JobRecord> Hook::find_job() const {
  if (!request.has_state) return std::nullopt;
  auto record = folder.read();
  if (!record || record->job != request.state_job)
    throw Error(ErrorKind::conflict, "state: does not belong to a job that was prepared here");
  return record;
}

}  // namespace dstack::shim::ci::github
