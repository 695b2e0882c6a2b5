#include <unistd.h>

#include <chrono>
#include <format>
#include <print>
#include <set>

#include "common/exit_status.h"
#include "common/os/clock.h"
#include "common/os/file.h"
#include "common/server_api/failure.h"
#include "common/server_api/run_stopper.h"
#include "runner/join/agent.h"
#include "runner/join/fleet_keeper.h"
#include "runner/join/identity.h"
#include "runner/join/options.h"
#include "runner/join/systemd.h"
#include "runner/join/undo.h"

namespace dstack::runner::join {

using namespace std::chrono_literals;

namespace {

constexpr std::chrono::seconds kInUseLimit = 120s;
constexpr std::chrono::seconds kGoneLimit = 120s;

bool is_in_use(const server_api::Failure& failure) {
  return failure.http_status() == 400 && std::string_view(failure.what()).contains("in use");
}

std::set<std::string> names_on(const std::string& fleet, const std::vector<server_api::Run>& runs) {
  std::set<std::string> names;
  for (const server_api::Run& run : runs) {
    if (run.fleet == fleet) names.insert(run.name);
  }
  return names;
}

std::string joined(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

void delete_fleet(server_api::Client& server, const std::string& name, bool force) {
  os::Clock& clock = os::system_clock();
  const os::SteadyTime limit = clock.now() + kInUseLimit;
  server_api::RunStopper stopper(server);
  while (true) {
    try {
      server.delete_fleet(name);
      return;
    } catch (const server_api::Failure& failure) {
      if (!is_in_use(failure)) throw;
      const std::vector<server_api::Run> runs = server.active_runs();
      const std::set<std::string> names = names_on(name, runs);
      if (!force) {
        throw CommandError(exit_status::kFailed,
                           std::format("{} is in use by {}: stop them (dstack stop NAME), or leave with --force", name,
                                       names.empty() ? "a run" : joined(names)));
      }
      if (stopper.stop(names, runs)) std::println(stderr, "stopping {}", joined(names));
      if (clock.now() >= limit) throw;
    }
    os::pause(clock, 1s, {});
  }
}

void await_gone(server_api::Client& server, const std::string& name, const std::string& id) {
  os::Clock& clock = os::system_clock();
  const os::SteadyTime limit = clock.now() + kGoneLimit;
  while (true) {
    const auto fleet = server.fleet(name);
    if (!fleet || runner_id_of(*fleet) != id) return;
    if (clock.now() >= limit) {
      throw CommandError(exit_status::kTryLater,
                         std::format("fleet {} is still {} at the server: leave again", name, fleet->status));
    }
    os::pause(clock, 500ms, {});
  }
}

// Takes the host out of the project; false where there was nothing to take out. A server that cannot do it is an error
// unless `force` is given.
bool leave_server(const Places& places, const State& state, bool force) {
  try {
    server_api::Client server(load_account(places));
    const std::string id = load_identity(places).id;
    const auto fleet = server.fleet(state.name);
    // Another's of the same name is left alone.
    if (!fleet || runner_id_of(*fleet) != id) return false;
    delete_fleet(server, state.name, force);
    await_gone(server, state.name, id);
    return true;
  } catch (const CommandError& error) {
    if (!force) throw;
    std::println(stderr, "warning: {}; leaving all the same. The fleet {} may still be at the server", error.what(),
                 state.name);
    return true;
  }
}

}  // namespace

int leave(const LeaveOptions& options) {
  if (::geteuid() != 0)
    throw CommandError(exit_status::kNoPermission, "leave changes the host and must be root: sudo dstack-runner leave");
  const Places places = places_of_host();
  std::error_code failure;
  std::optional<State> state;
  if (std::filesystem::exists(places.folder(), failure)) {
    const auto lock = FileLock::try_take(places.command_lock());
    if (!lock) throw CommandError(exit_status::kFailed, "another dstack-runner start or leave is at work on this host");
    state = load_state(places);
    if (state) {
      // The agent makes no fleet as long as this is held.
      const auto leaving = FileLock::try_take(places.leave_lock());
      if (!leave_server(places, *state, options.force) && unit_is_active(kJoinUnit)) {
        // One that it was about to make is seen once it is stopped.
        stop_unit(kJoinUnit);
        leave_server(places, *state, options.force);
      }
      undo_joining(places, *state, true);
    }
  }
  if (options.purge) purge(places, state, server_api::find_settings_files().own);
  std::println("{}", state ? std::format("{} has left", state->name) : "not a runner");
  return exit_status::kDone;
}

}  // namespace dstack::runner::join
