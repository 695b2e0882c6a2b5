#include "shim/ci/github/run_step.h"

#include <csignal>
#include <iostream>
#include <string>

#include "common/error.h"
#include "common/exit_status.h"
#include "common/os/signals.h"
#include "common/text/escape.h"
#include "shim/ci/github/hooks.h"
#include "shim/ci/github/image_environment.h"
#include "shim/ci/program_output.h"
#include "shim/ci/stop_on_signal.h"

namespace dstack::shim::ci::github {

int run_step(client::HeldRunner& runner, const client::Program& program, std::uint64_t memory,
             const os::UniqueFd& signals) {
  const StopOnSignal stop(runner, program.id, signals);
  try {
    return report_end(runner.run(program, pass_on, stop.gave_up()), memory);
  } catch (const std::exception& error) {
    if (error_kind(error) != ErrorKind::not_found) throw;
    const std::string message = error.what();
    std::cerr << text::escape_controls(message) << '\n';
    return message.contains(": not executable") ? exit_status::kNotExecutable : exit_status::kCommandNotFound;
  }
}

int run_script_step(Hook& hook) {
  const auto job = hook.find_job();
  if (!job) throw Error(ErrorKind::invalid, "state: is missing");
  if (!job->has_container) throw Error(ErrorKind::conflict, "the job has no container");
  const os::UniqueFd signals = os::block_and_watch({SIGINT, SIGTERM});
  ScriptStep& step = hook.request.step;
  client::Program program{.id = program_id("step"),
                          .arguments = {step.entrypoint},
                          .environment = std::move(step.environment),
                          .working_dir = step.working_dir,
                          .user = job->user};
  program.arguments.insert(program.arguments.end(), step.arguments.begin(), step.arguments.end());
  if (!job->home.empty()) program.environment.try_emplace("HOME", job->home);
  if (!step.prepend_path.empty()) {
    std::string& path = program.environment.try_emplace("PATH", job->path).first->second;
    path = prepend_path(step.prepend_path, path);
  }
  client::HeldRunner runner = hook.containers.runner(hook.containers.details(kJobRole));
  return run_step(runner, program, job->memory, signals);
}

}  // namespace dstack::shim::ci::github
