#include "runner/job/job_run.h"

#include <poll.h>
#include <unistd.h>

#include <spdlog/spdlog.h>
#include <algorithm>
#include <format>
#include <memory>
#include <system_error>

#include "common/error.h"
#include "common/os/idle_memory.h"
#include "common/reason.h"
#include "runner/job/cluster.h"
#include "runner/job/code_setup.h"
#include "runner/job/ending.h"
#include "runner/job/environment.h"
#include "runner/job/git_credentials.h"
#include "runner/job/paths.h"
#include "runner/job/process.h"
#include "runner/job/program.h"
#include "runner/job/start_when_possible.h"
#include "runner/job/terminal.h"
#include "runner/job/terminal_reader.h"
#include "runner/metrics/cgroup.h"

namespace dstack::runner::job {

namespace {

std::filesystem::path find_working_dir(const Submission& submission, const JobUser& user) {
  if (!submission.working_dir) {
    std::error_code error;
    std::filesystem::path own = std::filesystem::current_path(error);
    if (error) throw os_error("find out", "the container's working folder", error.value());
    return own;
  }
  std::filesystem::path folder = expand_path(*submission.working_dir, "", user.home);
  if (!folder.is_absolute()) {
    throw Error(ErrorKind::invalid, std::format("{} is not absolute", printable(*submission.working_dir)));
  }
  return folder;
}

// A step that a job can do without: its failure is logged in the runner log.
void try_step(std::string_view what, const std::function<void()>& step) {
  try {
    step();
  } catch (const std::exception& error) {
    spdlog::error("{} failed: {}", what, error.what());
  }
}

bool is_readable(int fd) {
  pollfd event{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&event, 1, 0) > 0;
}

std::optional<std::chrono::seconds> max_duration_of(const Submission& submission) {
  constexpr std::int64_t century = 100LL * 366 * 24 * 3600;  // beyond it a clock's time points would overflow
  if (submission.max_duration <= 0) return std::nullopt;
  return std::chrono::seconds(std::min(submission.max_duration, century));
}

Environment set_up_environment(const Submission& submission, const Prepared& prepared, const RunPlaces& places,
                               const std::filesystem::path& repo_dir) {
  Environment environment = make_environment(
      own_environment(), submission,
      {.working_dir = prepared.working_dir, .repo_dir = repo_dir, .mpi_hostfile = places.mpi_hostfile});
  try_step("Writing the profile for logins", [&] { write_profile(environment, places.profile); });
  write_mpi_hostfile(submission.cluster, places.mpi_hostfile);
  // After the profile: a login sets its own.
  environment.insert_or_assign("HOME", prepared.user.home);
  return environment;
}

// Nothing if it was stopped before there was a thread and a process for it.
std::optional<Ended> start_and_watch(const Submission& submission, const Prepared& prepared,
                                     const Supervision::Events& events, const Environment& environment, Logs& logs,
                                     os::Clock& clock) {
  if (submission.commands.empty()) throw Error(ErrorKind::invalid, "there are no commands to run");
  Terminal terminal;
  // First, so that a job that has begun is read.
  std::optional<TerminalReader> reader;
  const auto start_reader = [&] {
    reader.emplace(terminal.output(), [&logs](std::string_view output) { logs.append(output); });
  };
  if (!start_when_possible(start_reader, events.stop, clock) || !reader) return std::nullopt;
  const ProcessSpec spec{.program = resolve_command(submission.commands[0], own_environment()),
                         .arguments = submission.commands,
                         .environment = render(environment),
                         .working_dir = prepared.working_dir,
                         .user = prepared.user};
  std::optional<Process> process;
  if (!start_when_possible([&] { process.emplace(spec, terminal); }, events.stop, clock) || !process)
    return std::nullopt;
  logs.add_state(
      {.state = "running", .termination_reason = "", .termination_message = "", .exit_status = std::nullopt});
  reader->begin();
  // Of what set the job up, nothing is needed while it runs.
  os::give_back_idle_memory();
  Supervision supervision(*process, terminal, events, clock,
                          [job = process->pid()] { return find_job_processes(job); });
  Ended ended = supervision.watch(max_duration_of(submission));
  terminal.close_job_side();
  reader->finish();
  logs.end_output();
  // A job may print too much and be gone before anybody has counted.
  if (ended.cause == Ended::Cause::by_itself && logs.quota_exceeded()) ended.cause = Ended::Cause::log_quota;
  return ended;
}

JobState run_steps(const Submission& submission, const Prepared& prepared, const RunPlaces& places,
                   const Supervision::Events& events, files::Uploads& uploads, SetupThread& setup, Logs& logs,
                   os::Clock& clock) {
  if (const auto problem = places.ssh_problem()) spdlog::error("{}", *problem);
  make_folders_for(prepared.working_dir, prepared.user, 0755);
  // Without a request the job is root, with groups that the container's engine gave to the runner.
  if (submission.user) {
    try_step("Setting the SSH server's login user", [&] { write_login_groups(prepared.user, places.profile); });
  }
  std::optional<GitCredentials> git_credentials;
  if (prepared.user.has_home()) {
    try_step("Writing the repo's credentials", [&] { git_credentials.emplace(submission, prepared.user); });
    try_step("Setting up SSH between the nodes",
             [&] { set_up_cluster_ssh(submission, prepared.user, places.ssh_port, places.authorized_keys); });
  } else {
    spdlog::info("The job's user has no home folder, nothing is set up there");
  }
  const auto stopped = [stop = events.stop] { return is_readable(stop); };
  // Given up, the step goes on without this function.
  const auto code = std::make_shared<Code>();
  const auto step = [&submission, &prepared, &uploads, &clock, code, stopped] {
    *code = set_up_code(submission, prepared, uploads, stopped, clock);
  };
  if (!setup.run(step, events.stop, clock)) return stopped_state();
  if (const auto& failure = code->failure) return *failure;
  const ClearingUploads clearing(uploads);
  const Environment environment = set_up_environment(submission, prepared, places, code->repo.folder);
  if (stopped()) return stopped_state();

  const auto oom_kills = metrics::count_oom_kills();
  const std::optional<Ended> ended = start_and_watch(submission, prepared, events, environment, logs, clock);
  if (!ended) return stopped_state();
  const bool out_of_memory = metrics::count_oom_kills().value_or(0) > oom_kills.value_or(0);
  return state_of(*ended, out_of_memory, submission.log_quota_hour);
}

}  // namespace

Prepared prepare_run(const Submission& submission, const os::UserDatabase& users) {
  Prepared prepared;
  try {
    prepared.user = find_job_user(submission.user, users);
  } catch (const std::exception& error) {
    throw Error(ErrorKind::invalid, std::format("Failed to set job user ({})", reason_of(error)));
  }
  try {
    prepared.working_dir = find_working_dir(submission, prepared.user);
  } catch (const std::exception& error) {
    throw Error(ErrorKind::invalid, std::format("Failed to set job working dir ({})", reason_of(error)));
  }
  return prepared;
}

// NOLINTNEXTLINE(bugprone-exception-escape): without memory for the reason there is no orderly end
JobState run_job(const Submission& submission, const Prepared& prepared, const RunPlaces& places,
                 const Supervision::Events& events, files::Uploads& uploads, SetupThread& setup, Logs& logs,
                 os::Clock& clock) noexcept {
  try {
    return run_steps(submission, prepared, places, events, uploads, setup, logs, clock);
  } catch (const CannotExecute& error) {
    return executor_error(error);
  } catch (const std::exception& error) {
    return executor_error(reason_of(error));
  }
}

}  // namespace dstack::runner::job
