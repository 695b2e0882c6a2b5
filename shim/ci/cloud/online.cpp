#include "shim/ci/cloud/online.h"

#include <spdlog/spdlog.h>

#include <format>

#include "common/error.h"

namespace dstack::shim::ci::cloud {

using namespace std::chrono_literals;

namespace {

constexpr std::chrono::seconds kLookPause = 3s;
constexpr std::chrono::seconds kCiPatience = 10min;
// For a machine, its image and the startup script; the server has limits of its own for the first two.
constexpr std::chrono::seconds kRunLimit = 2h;
// From the start of the run's container: the launcher in it gives up after 10 minutes without the CI.
constexpr std::chrono::seconds kOnlineLimit = 1h;

bool is_online(Ci& ci, const AwaitedRunner& runner, const std::stop_token& stop) {
  for (const ListedRunner& listed : ci.runners({.stop = stop, .network = kCiPatience})) {
    const bool is_it = runner.id.empty() ? listed.name == runner.name : listed.id == runner.id;
    if (is_it) return listed.online;
  }
  if (!runner.id.empty())
    throw Error(ErrorKind::not_found, std::format("runner {} was removed at the CI", runner.name));
  return false;
}

[[noreturn]] void report_end(const std::string& name, const server_api::Account& account, const RunState& state) {
  throw Error(
      ErrorKind::unavailable,
      std::format("run {} of project {} at {} is {}{}{}; `dstack logs {}` shows its output", name, account.project,
                  account.url, state.status, state.reason.empty() ? "" : ": ", state.reason, name));
}

}  // namespace

void await_online(ServerRun& run, const std::string& run_name, Ci& ci, const AwaitedRunner& runner, os::Clock& clock,
                  const std::stop_token& stop) {
  const os::SteadyTime end = clock.now() + kRunLimit;
  std::optional<os::SteadyTime> online_end;
  std::string shown;
  while (true) {
    const auto state = run.look();
    if (!state) throw Error(ErrorKind::not_found, std::format("the dstack server no longer knows run {}", run_name));
    const std::string now = state->status == "running" ? state->job : state->status;
    if (now != std::exchange(shown, now)) spdlog::info("Run {}: {}", run_name, now);
    if (state->is_done) return;
    if (state->has_ended()) report_end(run_name, run.account(), *state);
    if (state->has_started()) {
      if (is_online(ci, runner, stop)) return;
      if (!online_end) online_end = clock.now() + kOnlineLimit;
    }
    if (clock.now() >= std::min(end, online_end.value_or(end))) {
      throw Error(ErrorKind::timed_out, std::format("runner {} is not online though run {} has been {} for long",
                                                    runner.name, run_name, now));
    }
    if (!os::pause(clock, kLookPause, stop)) throw Error(ErrorKind::cancelled, "cancelled");
  }
}

}  // namespace dstack::shim::ci::cloud
