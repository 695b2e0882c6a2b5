#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <format>
#include <nlohmann/json.hpp>
#include <print>
#include <thread>

#include "common/exit_status.h"
#include "common/log/log.h"
#include "common/os/clock.h"
#include "common/os/file.h"
#include "common/os/signals.h"
#include "common/text/number.h"
#include "common/text/split.h"
#include "common/version.h"
#include "runner/join/agent.h"
#include "runner/join/fleet_keeper.h"
#include "runner/join/host_checks.h"
#include "runner/join/host_login.h"
#include "runner/join/host_name.h"
#include "runner/join/identity.h"
#include "runner/join/join_unit.h"
#include "runner/join/options.h"
#include "runner/join/programs.h"
#include "runner/join/progress.h"
#include "runner/join/runner_name.h"
#include "runner/join/settled.h"
#include "runner/join/systemd.h"
#include "runner/join/undo.h"

namespace dstack::runner::join {

using namespace std::chrono_literals;
using nlohmann::json;

namespace {

constexpr std::chrono::seconds kJoinLimit = 10min;
constexpr std::chrono::seconds kTerminatingLimit = 60s;

void say(const std::string& text) { std::println(stderr, "{}", text); }

void demand_root() {
  if (::geteuid() != 0)
    throw CommandError(exit_status::kNoPermission, "start changes the host and must be root: sudo dstack-runner start");
}

void check_host(const Places& places, const State& state, bool rejoins) {
  const int port = state.way_in == WayIn::direct ? state.address.port : kLoginPort;
  const auto missing = missing_on_host(places, state.way_in, port, rejoins);
  if (missing.empty()) return;
  std::string text = "this host lacks:";
  for (const std::string& problem : missing) text += "\n  " + problem;
  throw CommandError(exit_status::kUnavailable, text);
}

// Whether a fleet of this name is this host's or nobody's.
bool name_is_free(server_api::Client& server, const std::string& name, const std::string& id, std::string& host) {
  os::Clock& clock = os::system_clock();
  const os::SteadyTime limit = clock.now() + kTerminatingLimit;
  while (true) {
    const auto fleet = server.fleet(name);
    if (!fleet || runner_id_of(*fleet) == id) return true;
    host = host_name_of(*fleet);
    // One that is on its way out is waited for.
    if (fleet->status != "terminating" || clock.now() >= limit) return false;
    os::pause(clock, 1s, {});
  }
}

void settle_free_name(server_api::Client& server, State& state, const std::string& id) {
  std::string host;
  if (name_is_free(server, state.name, id, host)) return;
  if (state.name_is_chosen) {
    throw CommandError(exit_status::kFailed,
                       std::format("there is a fleet {} in project {} already{}: choose another --name", state.name,
                                   server.account().project, host.empty() ? "" : ", of the host " + printable(host)));
  }
  const std::string base = state.name;
  for (int number = 2; number < 100; ++number) {
    state.name = numbered(base, number);
    if (name_is_free(server, state.name, id, host)) return;
  }
  throw CommandError(exit_status::kFailed, std::format("{} and 98 more names are taken: choose a --name", base));
}

// 1.2.3 as numbers; nothing for "latest" and other words.
std::optional<std::array<int, 3>> release_number(const std::string& text) {
  std::array<int, 3> number{};
  // What follows the third number, as in 1.2.3rc1, does not count.
  const std::size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  const auto parts = text::split(std::string_view(text).substr(0, end), '.');
  if (parts.size() < number.size()) return std::nullopt;
  for (std::size_t i = 0; i < number.size(); ++i) {
    const auto part = text::parse_number<int>(parts[i]);
    if (!part) return std::nullopt;
    number[i] = *part;
  }
  return number;
}

// A server replaces programs of a lower number than its own at each look.
void warn_of_older_programs(server_api::Client& server) {
  const std::string theirs = server.version();
  const auto own = release_number(std::string(version()));
  const auto wanted = release_number(theirs);
  if (own && wanted && *own < *wanted) {
    say(std::format(
        "warning: this dstack-runner is {}, the server is {}: it will replace the programs again and again. "
        "Use a newer release, or --keep-server-binaries",
        version(), theirs));
  }
}

// What the server and the agent say, one line for each change, until the host is live.
class Watching {
 public:
  Watching(const Places& places, server_api::Client& server, const std::string& id)
      : places_(places), server_(server), id_(id) {}

  // Whether it is live now. Throws CommandError for what the agent has given up.
  bool look() {
    const auto progress = read_progress(places_);
    if (progress) {
      const std::string failed = progress->value("failed", "");
      if (!failed.empty()) throw CommandError(exit_status::kFailed, failed);
      if (progress->at("way_in").value("state", "") == "open") step(1, "way in open");
      reason_ = progress->at("way_in").value("reason", "");
      if (reason_.empty()) reason_ = progress->value("server_problem", "");
    }
    const auto state = load_state(places_);
    if (!state) throw CommandError(exit_status::kFailed, "the fleet was deleted at the server meanwhile");
    name_ = state->name;
    try {
      const auto fleet = server_.fleet(name_);
      if (!fleet || runner_id_of(*fleet) != id_ || fleet->instances.empty()) return false;
      step(2, "known to the server");
      const server_api::Instance& instance = fleet->instances.front();
      if (!instance.termination_reason.empty()) {
        reason_ = std::format("{} {}", instance.termination_reason, instance.termination_message);
      }
      if (!instance.alive()) return false;
      step(3, "set up by the server");
      if (instance.unreachable) return false;
      step(4, "ready");
      return true;
    } catch (const server_api::Failure& failure) {
      reason_ = failure.what();
      return false;
    }
  }

  const std::string& name() const { return name_; }
  const std::string& reason() const { return reason_; }

 private:
  void step(int number, const char* text) {
    if (number <= step_) return;
    step_ = number;
    say(text);
  }

  const Places& places_;
  server_api::Client& server_;
  const std::string id_;
  int step_ = 0;
  std::string name_;
  std::string reason_;
};

int await_live(Watching& watching) {
  os::Clock& clock = os::system_clock();
  const os::SteadyTime limit = clock.now() + kJoinLimit;
  while (!watching.look()) {
    if (clock.now() >= limit) {
      throw CommandError(
          exit_status::kTryLater,
          std::format("{} is not live after {} minutes{}; the service goes on: dstack-runner status", watching.name(),
                      std::chrono::duration_cast<std::chrono::minutes>(kJoinLimit).count(),
                      watching.reason().empty() ? "" : ", last: " + watching.reason()));
    }
    os::pause(clock, 1s, {});
  }
  std::println("{} is live", watching.name());
  std::fflush(stdout);
  return exit_status::kDone;
}

int work_here(const Places& places, const State& state, const server_api::Account& account) {
  const os::UniqueFd signals = os::block_and_watch({SIGTERM, SIGINT});
  const auto lock = FileLock::try_take(places.agent_lock());
  if (!lock) {
    throw CommandError(exit_status::kFailed, "this host's runner runs as a service already: dstack-runner status");
  }
  log::set_up(spdlog::level::info, log::Stream::standard_error, places.log());
  std::jthread watcher;
  const int status = work(
      places, state, account, signals,
      [&] {
        undo_joining(places, state, true);
        return true;
      },
      [&] {
        watcher =
            std::jthread([&places, account = account, id = load_identity(places).id](const std::stop_token& stop) {
              server_api::Client server(account, os::system_clock(), stop);
              Watching watching(places, server, id);
              try {
                while (!watching.look()) {
                  if (!os::pause(os::system_clock(), 1s, stop)) return;
                }
                std::println("{} is live", watching.name());
                std::fflush(stdout);
              } catch (const std::exception& error) {
                if (!stop.stop_requested()) say(error.what());
              }
            });
      });
  return status;
}

}  // namespace

int start(const StartOptions& options) {
  os::ignore_broken_pipes();
  demand_root();
  const Places places = places_of_host();
  const auto settings = server_api::resolve(options.given, server_api::find_settings_files());
  for (const std::string& warning : settings.warnings) say("warning: " + warning);
  const server_api::Account account = settings.account();

  const auto before = load_state(places);
  State state = settle(options, settings, before);
  check_host(places, state, before.has_value());
  server_api::Client server(account);
  server.check_membership(server.project());

  os::make_directories(places.folder(), 0700);
  if (::chmod(places.folder().c_str(), 0700) != 0) throw os_error("set the mode of", places.folder().string());
  const auto lock = FileLock::try_take(places.command_lock());
  if (!lock) throw CommandError(exit_status::kFailed, "another dstack-runner start or leave is at work on this host");

  const Identity identity = make_identity(places);
  if (!before || before->name != state.name || !before->was_live) settle_free_name(server, state, identity.id);
  warn_of_older_programs(server);
  // Before the first change of the host.
  if (!before) state.before = look_before(places);
  const bool settled_anew = !before || differs(*before, state);
  if (settled_anew) store_state(places, state);
  const bool new_account = store_account(places, account);

  std::vector<std::string> changed = keep_programs(places, own_program());
  if (state.way_in == WayIn::host_sshd && authorize(places, identity.public_key)) {
    changed.push_back(places.authorized_keys());
  }
  if (options.foreground) return work_here(places, state, account);

  if (write_join_unit(places)) changed.push_back(places.join_unit());
  const bool active = unit_is_active(kJoinUnit);
  if (!unit_is_enabled(kJoinUnit)) enable_unit(kJoinUnit);
  if (active && (settled_anew || new_account || !changed.empty())) {
    restart_unit(kJoinUnit);
  } else if (!active) {
    if (before) changed.emplace_back("the service dstack-join");
    start_unit(kJoinUnit);
  }
  if (before) {
    for (const std::string& what : changed) say("repaired: " + what);
    if (changed.empty() && !settled_anew && !new_account) say("nothing to repair");
  }
  if (!options.wait) {
    std::println("{} joins", state.name);
    return exit_status::kDone;
  }
  Watching watching(places, server, identity.id);
  return await_live(watching);
}

}  // namespace dstack::runner::join
