#include "shim/ci/cloud/server_run.h"

#include <spdlog/spdlog.h>

#include <format>

#include "common/error.h"
#include "common/json/member.h"
#include "shim/ci/cloud/run_command.h"
#include "shim/ci/requests.h"

namespace dstack::shim::ci::cloud {

using nlohmann::json;
using namespace std::chrono_literals;
using dstack::json::member;
using dstack::json::text_member;
using server_api::Failure;
using server_api::FailureKind;

namespace {

constexpr std::chrono::seconds kCheckPatience = 1min;  // an address that is wrong should not take long to show
constexpr std::chrono::seconds kWaitPatience = 10min;
constexpr std::chrono::seconds kEndPause = 2s;
constexpr const char* kJobsDone = "all_jobs_done";  // why a run ends whose job's exit status was 0

bool is_unreachable(const std::exception& error) {
  const auto* const failure = dynamic_cast<const Failure*>(&error);
  return failure != nullptr && failure->reason() == FailureKind::unreachable;
}

std::int64_t offers_in(const json& plan) {
  std::int64_t offers = 0;
  for (const json& job : member(plan, "job_plans")) {
    const json& total = member(job, "total_offers");
    if (total.is_number_integer()) offers += total.get<std::int64_t>();
  }
  return offers;
}

// The last element of a list; null if there is none.
const json& last(const json& list) {
  static const json kNull;
  return list.is_array() && !list.empty() ? list.back() : kNull;
}

std::string first_text(const json& object, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (std::string text = text_member(object, name); !text.empty()) return text;
  }
  return {};
}

std::string reason_in(const json& submission) {
  if (std::string message = text_member(submission, "termination_reason_message"); !message.empty()) return message;
  std::string reason = text_member(submission, "termination_reason");
  const json& status = member(submission, "exit_status");
  if (status.is_number_integer() && status != 0) reason += std::format(" (exit status {})", status.get<std::int64_t>());
  return reason;
}

}  // namespace

RunState parse_run(const json& answer) {
  RunState state{.status = text_member(answer, "status"), .job = {}, .is_done = false, .reason = {}, .submission = {}};
  const json& submission = last(member(last(member(answer, "jobs")), "job_submissions"));
  state.job = text_member(submission, "status");
  state.is_done = state.status == "done" ||
                  (state.status == "terminating" && text_member(answer, "termination_reason") == kJobsDone);
  state.reason = reason_in(submission);
  if (state.reason.empty()) state.reason = first_text(answer, {"error", "termination_reason"});
  const json& variables = member(member(member(answer, "run_spec"), "configuration"), "env");
  state.submission = text_member(variables, kSubmissionVariable);
  return state;
}

ServerRun::ServerRun(server_api::Account account, std::string name, std::string submission, os::Clock& clock,
                     std::stop_token stop)
    : client_(std::move(account), clock, stop),
      name_(std::move(name)),
      submission_(std::move(submission)),
      clock_(clock),
      stop_(std::move(stop)) {}

json ServerRun::ask(const std::string& path, const json& body, std::string_view doing, std::chrono::seconds patience) {
  const os::SteadyTime end = clock_.now() + patience;
  GrowingPause growing;
  bool is_said = false;
  while (true) {
    try {
      return client_.call_project(path, body, doing);
    } catch (const std::exception& error) {
      const std::chrono::seconds pause = growing.next();
      if (!is_unreachable(error) || clock_.now() + pause > end) throw;
      if (!std::exchange(is_said, true)) spdlog::warn("dstack server: {}; trying again", error.what());
      if (!os::pause(clock_, pause, stop_)) throw Error(ErrorKind::cancelled, error.what());
    }
  }
}

void ServerRun::check_backend(const std::string& backend) {
  const os::SteadyTime end = clock_.now() + kCheckPatience;
  GrowingPause growing;
  server_api::Project project;
  while (true) {
    try {
      project = client_.project();
      break;
    } catch (const std::exception& error) {
      const std::chrono::seconds pause = growing.next();
      if (!is_unreachable(error) || clock_.now() + pause > end) throw;
      if (!os::pause(clock_, pause, stop_)) throw Error(ErrorKind::cancelled, error.what());
    }
  }
  if (project.backend(backend) != nullptr) return;
  std::string names;
  for (const server_api::Backend& each : project.backends) names += (names.empty() ? "" : ", ") + each.name;
  throw Error(ErrorKind::invalid, std::format("project {} at {} has no backend {}; it has {}", account().project,
                                              account().url, printable(backend), names.empty() ? "none" : names));
}

std::int64_t ServerRun::plan(const json& run_spec) {
  const std::int64_t offers = offers_in(ask("runs/get_plan", {{"run_spec", run_spec}}, "plan the run", kCheckPatience));
  if (offers > 0) return offers;
  // Of all machines that the cloud has, whatever the fleets are.
  std::int64_t outside = 0;
  try {
    outside =
        offers_in(ask("runs/get_plan", {{"run_spec", run_spec}, {"for_offers_only", true}}, "look up offers", 0s));
  } catch (const Failure& failure) {  // a server that does not know the question
    spdlog::debug("{}", failure.what());
  }
  const std::string where = std::format("project {} at {}", account().project, account().url);
  if (outside == 0) {
    throw Error(ErrorKind::unavailable,
                std::format("no offers: the backend of {} has no machine that fits the --cloud flags", where));
  }
  throw Error(
      ErrorKind::unavailable,
      std::format("no offers: no fleet of {} takes the run, and the server runs only in fleets that exist: make one "
                  "with dstack-shim autoscale allow or dstack apply (offers of machines without a fleet: {})",
                  where, outside));
}

void ServerRun::submit(const json& run_spec) {
  const json body = {{"plan", {{"run_spec", run_spec}}}, {"force", false}};
  const os::SteadyTime end = clock_.now() + kWaitPatience;
  GrowingPause growing;
  while (true) {
    try {
      client_.call_project("runs/apply", body, "submit the run");
      return;
    } catch (const std::exception& error) {
      const std::chrono::seconds pause = growing.next();
      if (!is_unreachable(error) || clock_.now() + pause > end) throw;
      spdlog::warn("dstack server: {}; trying again", error.what());
      if (!os::pause(clock_, pause, stop_)) throw Error(ErrorKind::cancelled, error.what());
    }
    const auto run = look();
    if (run && run->submission == submission_) return;
  }
}

std::optional<RunState> ServerRun::look() { return look(kWaitPatience); }

std::optional<RunState> ServerRun::look(std::chrono::seconds patience) {
  try {
    return parse_run(ask("runs/get", {{"run_name", name_}}, "look at the run", patience));
  } catch (const Failure& failure) {
    if (failure.is("resource_not_exists")) return std::nullopt;
    throw;
  }
}

void ServerRun::stop(std::chrono::seconds patience) {
  const auto run = look(patience);
  if (!run || run->submission != submission_ || run->has_ended()) return;
  ask("runs/stop", {{"runs_names", {name_}}, {"abort", true}}, "stop the run", patience);
}

void ServerRun::check_name() {
  const auto run = look(kCheckPatience);
  if (run && !run->is_over()) {
    throw Error(ErrorKind::conflict, std::format("run {} of project {} at {} is already in use: it is {}", name_,
                                                 account().project, account().url, run->status));
  }
}

void ServerRun::await_end(std::chrono::seconds limit) {
  const os::SteadyTime end = clock_.now() + limit;
  while (true) {
    const auto run = look(limit);
    if (!run || run->submission != submission_ || run->is_over()) return;
    if (clock_.now() >= end)
      throw Error(ErrorKind::timed_out, std::format("run {} is stopped and still {}", name_, run->status));
    if (!os::pause(clock_, kEndPause, stop_)) throw Error(ErrorKind::cancelled, "cancelled");
  }
}

}  // namespace dstack::shim::ci::cloud
