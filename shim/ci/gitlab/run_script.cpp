#include <algorithm>
#include <array>
#include <csignal>
#include <format>
#include <map>
#include <optional>

#include "common/os/file.h"
#include "common/os/signals.h"
#include "common/text/number.h"
#include "common/text/split.h"
#include "shim/ci/gitlab/stages.h"
#include "shim/ci/program_output.h"
#include "shim/ci/stop_on_signal.h"

namespace dstack::shim::ci::gitlab {

namespace {

constexpr std::string_view kRunnerInContainer = "/usr/local/bin/dstack-runner";

// Stages whose scripts are GitLab's and not the job's. Those that end with a star stand for all that begin like them.
constexpr std::array<std::string_view, 7> kOwnStages{"get_sources",           "clear_worktree", "restore_cache",
                                                     "download_artifacts",    "archive_cache*", "upload_artifacts*",
                                                     "cleanup_file_variables"};

bool is_own_stage(std::string_view stage) {
  return std::ranges::any_of(kOwnStages, [stage](std::string_view own) {
    return own.ends_with('*') ? stage.starts_with(own.substr(0, own.size() - 1)) : stage == own;
  });
}

// The repository is the job's user's after the first of GitLab's scripts, and git refuses another's by default.
const std::map<std::string, std::string>& own_environment() {
  static const std::map<std::string, std::string> environment{
      {"GIT_CONFIG_COUNT", "1"}, {"GIT_CONFIG_KEY_0", "safe.directory"}, {"GIT_CONFIG_VALUE_0", "*"}};
  return environment;
}

std::string user_of(const Job& job, const client::TaskDetails& container) {
  return job.response.user.empty() ? container.user : job.response.user;
}

bool is_root(const std::string& user) {
  const std::string name = user.substr(0, user.find(':'));
  return name.empty() || name == "root" || name == "0";
}

client::ProgramEnd run_in_shell(client::HeldRunner& runner, client::Program program, const std::stop_token& stop) {
  for (const char* shell : {"bash", "sh"}) {
    program.arguments = {shell};
    try {
      return runner.run(program, pass_on, stop);
    } catch (const std::exception& error) {
      if (error_kind(error) == ErrorKind::invalid) throw BuildFailure(error.what());
      if (error_kind(error) != ErrorKind::not_found) throw;
    }
  }
  throw BuildFailure("the image has neither bash nor sh");
}

// Of the user that a program in the container runs as: "1000:100". No image lacks the kernel's own file.
std::string ids_of(client::HeldRunner& runner, const std::string& user) {
  std::string output;
  const std::string script =
      "while read -r name real rest; do case $name in Uid:|Gid:) echo $real;; esac; done < /proc/self/status";
  const auto end = runner.run({.id = "find-user", .arguments = {"sh", "-c", script}, .working_dir = "/", .user = user},
                              [&output](client::Stream, std::string_view piece) { output += piece; });
  const auto ids = text::split_words(output);
  if (end.status() != 0 || ids.size() != 2 || !text::is_digits(ids[0]) || !text::is_digits(ids[1]))
    throw Error(ErrorKind::unavailable,
                std::format("cannot find the ids of user {}: {}", printable(user), printable(output)));
  return std::format("{}:{}", ids[0], ids[1]);
}

}  // namespace

void give_builds_to_user(Job& job, const client::TaskDetails& container, client::HeldRunner& runner) {
  const std::string user = user_of(job, container);
  if (is_root(user)) return;
  std::string output;
  try {
    const std::string ids = ids_of(runner, user);
    const auto end =
        runner.run({.id = "give-builds", .arguments = {std::string(kRunnerInContainer), "chown", ids, kBuilds}},
                   [&output](client::Stream, std::string_view piece) { output += piece; });
    if (end.status() == 0) return;
  } catch (const std::exception& error) {
    // An unknown user, or no shell.
    if (error_kind(error) == ErrorKind::invalid || error_kind(error) == ErrorKind::not_found)
      throw BuildFailure(error.what());
    throw;
  }
  throw Error(ErrorKind::unavailable, std::format("give {} to {}: {}", kBuilds, printable(user), printable(output)));
}

int run_script(Job& job) {
  const os::UniqueFd signals = os::block_and_watch({SIGTERM, SIGINT});
  const std::string& stage = job.options.script_stage;
  const client::TaskDetails container = job.containers.details(kJobRole);
  client::HeldRunner runner = job.containers.runner(container);
  const bool own = is_own_stage(stage);
  const auto helper = own ? job.containers.find(kHelperRole) : std::nullopt;
  client::HeldRunner where = helper ? job.containers.runner(*helper) : job.containers.runner(container);

  client::Program program{.id = program_id(stage), .input = os::read_file(job.options.script)};
  if (own) {
    program.environment = own_environment();
  } else {
    program.user = user_of(job, container);
  }
  client::ProgramEnd end;
  {
    const StopOnSignal stop(where, program.id, signals, "SIGTERM");
    end = run_in_shell(where, program, stop.gave_up());
  }
  if (own) give_builds_to_user(job, container, runner);
  return report_end(end, job.options.containers.memory);
}

}  // namespace dstack::shim::ci::gitlab
