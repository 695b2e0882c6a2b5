#include <unistd.h>

#include <csignal>
#include <format>

#include "common/error.h"
#include "common/os/change_owner.h"
#include "common/os/signals.h"
#include "shim/ci/github/hooks.h"
#include "shim/ci/github/owner_in_container.h"

namespace dstack::shim::ci::github {

namespace {

constexpr const char* kHelperRole = "chown";
constexpr const char* kWorkInHelper = "/work";

// Of the job's image, for the work folder alone.
void change_owner_in_helper(Hook& hook, const JobRecord& job, os::UserId uid, os::UserId gid) {
  ContainerRequest request{.role = kHelperRole, .name = "github-chown", .image = job.image};
  request.container = {
      {"process", "hold"},
      {"mounts", {{{"source", hook.work.canonical.string()}, {"target", kWorkInHelper}, {"read_only", false}}}}};
  hook.containers.submit(request);
  client::HeldRunner runner = hook.containers.runner(hook.containers.await_start(kHelperRole));
  change_owner_in(runner, kWorkInHelper, uid, gid);
}

// In the job's own container. False if it does not run any more, or ends before it has answered.
bool change_owner_in_job(Hook& hook, const JobRecord& job, os::UserId uid, os::UserId gid) {
  const auto details = hook.containers.find(kJobRole);
  if (!details || !details->task.runner_port || job.work_folder.empty()) return false;
  try {
    client::HeldRunner runner = hook.containers.runner(*details);
    change_owner_in(runner, job.work_folder, uid, gid);
    return true;
  } catch (const std::exception&) {
    if (job.image.empty()) throw;
    return false;
  }
}

// Containers write as whatever user they like into the agent's folder, which the agent has to clear.
void give_work_back(Hook& hook, const JobRecord& job, os::UserId uid, os::UserId gid) {
  os::raise_descriptor_limit();
  if (::geteuid() == 0) {
    os::change_owner(hook.work.canonical, uid, gid, warn);
    return;
  }
  if (!os::has_other_owners(hook.work.canonical, uid, gid)) return;
  if (change_owner_in_job(hook, job, uid, gid)) return;
  if (!job.image.empty()) {
    change_owner_in_helper(hook, job, uid, gid);
  } else {
    warn(std::format("{} holds files of other users, and there is no container to change their owner",
                     hook.work.canonical.string()));
  }
}

void check_state(const Hook& hook) {
  // After the job was cleaned up, its state is still that of this folder.
  if (!hook.folder.read() && hook.folder.is_own(hook.request.state_job)) return;
  hook.find_job();
}

}  // namespace

void cleanup_job(Hook& hook) {
  // A stop of the agent must not leave containers behind.
  const os::UniqueFd signals = os::block_and_watch({SIGTERM, SIGINT, SIGQUIT});
  check_state(hook);
  const JobRecord job = hook.folder.read().value_or(JobRecord{});
  const bool is_root = ::geteuid() == 0;
  // A job may have made the workspace anew. Root can clear it then, and the agent of another user only what is his.
  const bool as_before = !is_root && job.uid && job.gid;
  const auto uid = as_before ? job.uid : hook.work.uid;
  const auto gid = as_before ? job.gid : hook.work.gid;
  const bool knows_owner = !hook.work.canonical.empty() && uid && gid;
  // As root after the containers have gone, which could go on writing.
  const auto give_back = [&] {
    if (!knows_owner) return;
    try {
      give_work_back(hook, job, *uid, *gid);
    } catch (const std::exception& error) {
      warn(std::format("give {} to its owner: {}", hook.work.canonical.string(), error.what()));
    }
  };
  if (!is_root) give_back();
  hook.containers.remove_all();
  if (is_root) give_back();
  hook.folder.forget();
}

}  // namespace dstack::shim::ci::github
