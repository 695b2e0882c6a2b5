#include "shim/ci/github/agent.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <format>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/json/member.h"
#include "common/text/trim.h"
#include "shim/ci/agent_environment.h"
#include "shim/ci/work_folder.h"

namespace dstack::shim::ci::github {

using namespace std::chrono_literals;

namespace {

constexpr int kTooOld = 7;
constexpr std::chrono::seconds kRefusalPause = 3s;

// The agent's time in front of a line, "2026-01-31 12:00:00Z: ".
constexpr std::string_view kStamp = "0000-00-00 00:00:00Z: ";

std::string_view without_stamp(std::string_view line) {
  if (line.size() < kStamp.size()) return line;
  for (std::size_t i = 0; i < kStamp.size(); ++i) {
    const bool is_digit = line[i] >= '0' && line[i] <= '9';
    if (kStamp[i] == '0' ? !is_digit : line[i] != kStamp[i]) return line;
  }
  return line.substr(kStamp.size());
}

// Lines that say nothing of interest.
constexpr std::array<std::string_view, 6> kChatter = {
    "√", "Current runner version", "Exiting", "Runner listener exit with 0", "Runner listener exited with error code 0",
    "#"};

}  // namespace

AgentEvent parse_line(std::string_view line) {
  using Kind = AgentEvent::Kind;
  constexpr std::string_view kRunning = "Running job: ";
  constexpr std::string_view kJob = "Job ";
  constexpr std::string_view kCompleted = " completed with result: ";
  const std::string_view said = without_stamp(text::trim(line));
  if (said.starts_with(kRunning)) return {.kind = Kind::job_started, .job = std::string(said.substr(kRunning.size()))};
  if (const std::size_t at = said.rfind(kCompleted);
      said.starts_with(kJob) && at != std::string_view::npos && at >= kJob.size()) {
    const std::string_view result = said.substr(at + kCompleted.size());
    AgentEvent event{.kind = Kind::job_ended, .job = std::string(said.substr(kJob.size(), at - kJob.size()))};
    event.result = result == "Succeeded" ? "success" : result == "Canceled" ? "cancelled" : "failed";
    event.lost = result != "Succeeded";
    return event;
  }
  if (said.starts_with("Listening for Jobs") || said.starts_with("Runner reconnected"))
    return {.kind = Kind::connected};
  if (said.starts_with("Runner connect error")) return {.kind = Kind::unreachable};
  if (said.contains("runner no longer exists") || said.contains("registration has been deleted"))
    return {.kind = Kind::refused};
  return {.kind = Kind::nothing};
}

std::vector<std::string> agent_variables(const AgentFolder& folder, const Secret& configuration, bool host_jobs,
                                         bool is_root, std::vector<std::string> base) {
  const auto add = [&base](std::string_view name, const std::string& value) {
    base.push_back(std::format("{}={}", name, value));
  };
  add("ACTIONS_RUNNER_INPUT_JITCONFIG", configuration.reveal());
  // Without it no signal gets beyond run.sh.
  add("RUNNER_MANUALLY_TRAP_SIG", "1");
  add("ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE", "1");
  add("ACTIONS_RUNNER_CONTAINER_HOOKS", folder.container_hook());
  add("ACTIONS_RUNNER_HOOK_JOB_STARTED", folder.started_hook());
  add("ACTIONS_RUNNER_HOOK_JOB_COMPLETED", folder.completed_hook());
  if (is_root) add("RUNNER_ALLOW_RUNASROOT", "1");
  if (!host_jobs) add("ACTIONS_RUNNER_REQUIRE_JOB_CONTAINER", "true");
  return base;
}

AgentManners ActionsAgent::actions_manners() {
  return {.one_job = true,
          .reports_connection = true,
          .start_limit = 2min,
          .withdraw_limit = 30s,
          // It gives its job 30 s to end.
          .stop_limit = 30s,
          // The hook that notes the job runs when the agent has fetched the job's actions.
          .describe_limit = 60s};
}

ActionsAgent::ActionsAgent(Newest newest, std::filesystem::path given, AgentCache cache, os::Clock& clock)
    : newest_(std::move(newest)),
      given_(std::move(given)),
      cache_(std::move(cache)),
      clock_(clock),
      job_start_(clock.now()) {}

void ActionsAgent::find(const Patience& patience) {
  if (!given_.empty()) {
    file_ = check_agent(given_);
    return;
  }
  download(false, patience);
}

std::string ActionsAgent::offer(const Patience& patience) {
  if (!given_.empty()) return {};
  const AgentRelease release = newest_(patience);
  return json::dump({{"file_name", release.file_name}, {"url", release.url}, {"sha256", release.sha256}});
}

void ActionsAgent::download(bool anew, const Patience& patience) {
  file_ = cache_.fetch(newest_(patience), anew, patience);
  is_newest_ = true;
}

void ActionsAgent::download_after_refusal(const Patience& patience) {
  is_too_old_ = false;
  if (!given_.empty()) {
    throw Error(ErrorKind::invalid,
                std::format("--agent: GitHub no longer accepts the version of {}: give a newer one", given_.string()));
  }
  if (was_fetched_anew_)
    throw Error(ErrorKind::unavailable, "GitHub does not accept the agent that it offers for download: it is too old");
  if (!os::pause(clock_, kRefusalPause, patience.stop))
    throw Error(ErrorKind::cancelled, "download the agent: cancelled");
  download(true, patience);
  was_fetched_anew_ = true;
}

void ActionsAgent::prepare(WorkFolder& folder, const ContainerFlags& containers, const Patience& patience) {
  if (folder_) folder_->remove(containers.port());
  folder_.reset();
  if (is_too_old_) download_after_refusal(patience);
  if (given_.empty() && !is_newest_) download(false, patience);
  is_newest_ = false;
  host_jobs_ = containers.host_jobs;
  ContainerFlags flags = containers;
  flags.agent.clear();
  folder_ = std::make_unique<AgentFolder>(folder.agents());
  folder_->put_program(file_, patience.stop);
  folder_->write_hooks(flags);
}

KeptProgramSpec ActionsAgent::program(const Registration& runner) {
  runner_ = runner.id;
  return {
      .arguments = {folder_->program() / "run.sh"},
      .environment = agent_variables(*folder_, runner.token, host_jobs_, ::geteuid() == 0, agent_environment(environ))};
}

AgentEvent ActionsAgent::parse(const std::string& line) {
  AgentEvent event = parse_line(line);
  if (event.kind == AgentEvent::Kind::connected) was_fetched_anew_ = false;
  if (event.kind == AgentEvent::Kind::job_started) job_start_ = clock_.now();
  if (event.kind == AgentEvent::Kind::job_ended)
    event.seconds = std::chrono::duration<double>(clock_.now() - job_start_).count();
  if (!event.job.empty()) event.job = std::format("{} (runner {})", printable(event.job), runner_);
  return event;
}

std::optional<std::string> ActionsAgent::warning_in(const std::string& line) {
  const std::string_view said = text::trim(line);
  if (said.empty() || parse_line(said).kind != AgentEvent::Kind::nothing) return std::nullopt;
  if (std::ranges::any_of(kChatter, [said](std::string_view chatter) { return said.starts_with(chatter); }))
    return std::nullopt;
  return printable(said);
}

std::function<std::optional<CiJob>()> ActionsAgent::job_finder(const std::string& /*job*/) {
  return [note = folder_->job_note(), runner = runner_] { return read_job(note, runner); };
}

std::string ActionsAgent::take_end(const os::ExitStatus& status) {
  is_too_old_ = !status.signal && status.code == kTooOld;
  return is_too_old_ ? "exited: GitHub no longer accepts its version" : status.describe();
}

// run.sh passes both on as an interrupt.
int ActionsAgent::finish_signal() const { return SIGINT; }
int ActionsAgent::stop_signal() const { return SIGINT; }

}  // namespace dstack::shim::ci::github
