#include <unistd.h>

#include <csignal>
#include <format>
#include <iostream>
#include <optional>

#include "common/error.h"
#include "common/os/change_owner.h"
#include "common/os/signals.h"
#include "shim/ci/container_start.h"
#include "shim/ci/github/container_request.h"
#include "shim/ci/github/hooks.h"
#include "shim/ci/github/image_build.h"
#include "shim/ci/github/image_environment.h"
#include "shim/ci/github/owner_in_container.h"
#include "shim/ci/github/run_step.h"
#include "shim/ci/program_output.h"
#include "shim/ci/stop_on_signal.h"

namespace dstack::shim::ci::github {

namespace {

constexpr std::string_view kRolePrefix = "step-";

// Ends and removes a container when the step is over.
class StepContainer {
 public:
  StepContainer(Containers& containers, std::string role) : containers_(containers), role_(std::move(role)) {}
  StepContainer(const StepContainer&) = delete;
  StepContainer& operator=(const StepContainer&) = delete;
  ~StepContainer() {
    try {
      containers_.remove(role_);
    } catch (const std::exception& error) {
      std::cerr << "remove the container of the step: " << error.what() << '\n';
    }
  }

 private:
  Containers& containers_;
  const std::string role_;
};

// As docker run: an entry point that is given drops the image's arguments.
std::vector<std::string> command_of(const HookContainer& step, const CreateOptions& options,
                                    const client::TaskDetails& image) {
  const std::string given = step.entrypoint.empty() ? options.entrypoint.value_or("") : step.entrypoint;
  std::vector<std::string> command = given.empty() ? image.entrypoint : std::vector<std::string>{given};
  const std::vector<std::string>& arguments = step.arguments.empty() && given.empty() ? image.command : step.arguments;
  command.insert(command.end(), arguments.begin(), arguments.end());
  if (command.empty()) throw Error(ErrorKind::invalid, "the image has no entry point, and the step names none");
  return command;
}

client::TaskDetails start(Hook& hook, ContainerRequest& request, const std::string& network,
                          const std::stop_token& stop) {
  request.container["process"] = "hold";
  request.container["network"] = network;
  hook.containers.submit(request);
  const client::TaskDetails details = await_container(hook.containers, request.role, request.image, stop);
  say_gpus(hook.shim, request, details);
  return details;
}

// No cleanup_job follows a step without a job.
void give_mounts_back(const Hook& hook, const HookContainer& step, client::HeldRunner& runner) {
  const AgentWork& work = hook.work;
  if (::geteuid() == 0 || !work.uid || !work.gid) return;
  for (const MountRequest& mount : step.system_mounts) {
    const std::filesystem::path source = resolved(mount.source);
    if (mount.read_only || !is_below(source, work.canonical)) continue;
    try {
      if (os::has_other_owners(source, *work.uid, *work.gid))
        change_owner_in(runner, mount.target, *work.uid, *work.gid);
    } catch (const std::exception& error) {
      warn(std::format("give {} to its owner: {}", source.string(), error.what()));
    }
  }
}

}  // namespace

int run_container_step(Hook& hook) {
  const auto job = hook.find_job();
  const os::UniqueFd signals = os::block_and_watch({SIGINT, SIGTERM});
  HookContainer& step = hook.container();
  const ContainerFlags& flags = hook.options.containers;
  const JobNames& names = hook.folder.names();
  const std::string role = std::format("{}{}", kRolePrefix, ::getpid());
  CreateOptions options = parse_create_options(step.create_options, flags.privileged);

  // Of a hook that was killed: an agent runs one step at a time.
  hook.containers.remove_all(kRolePrefix);

  // One signal ends the waiting, and then stops the program.
  std::optional<StopTokenOfSignals> stop(std::in_place, signals);
  std::optional<BuiltImage> built;
  if (!step.dockerfile.empty()) {
    if (hook.work.is_escape(step.dockerfile)) {
      throw Error(ErrorKind::forbidden,
                  std::format("build {}: a link in it leads out of the work folder", printable(step.dockerfile)));
    }
    built.emplace(step.dockerfile, std::format("dstack-ci:{}", names.task(role)), hook.shim.engine_address(),
                  stop->get());
    step.image = built->name();
    options.pull = "never";
  }

  // A step beside the job's container leaves the GPUs to that.
  const bool beside = job && job->has_container;
  GpuBudget gpus{.limit = gpus_of(flags), .asked = job ? job->asked_gpus : 0};
  ContainerRequest request =
      container_request({flags, hook.work, names}, beside ? Use::step : Use::job, role, step, options, gpus);
  const std::string user = std::exchange(request.user, "");
  // Without a job the step has a network of its own.
  const StepContainer container(hook.containers, role);
  const client::TaskDetails details =
      start(hook, request, job ? names.network() : std::format("{}-{}", names.network(), role), stop->get());
  stop.reset();

  const auto environment = request.container["env"].get<std::map<std::string, std::string>>();
  client::Program program{.id = program_id("step"),
                          .arguments = command_of(step, options, details),
                          .user = user.empty() ? details.user : user};
  if (const std::string home = variable_in(environment, details, "HOME"); !home.empty())
    program.environment["HOME"] = home;
  client::HeldRunner runner = hook.containers.runner(details);
  const int status = run_step(runner, program, request.memory, signals);
  if (!job) give_mounts_back(hook, step, runner);
  return status;
}

}  // namespace dstack::shim::ci::github
