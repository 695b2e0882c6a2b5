#include "runner/join/agent.h"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <format>
#include <nlohmann/json.hpp>
#include <thread>

#include "common/error.h"
#include "common/exit_status.h"
#include "common/log/log.h"
#include "common/os/event.h"
#include "common/os/file.h"
#include "common/os/service_notifier.h"
#include "common/os/signals.h"
#include "common/os/wait.h"
#include "runner/join/fleet_keeper.h"
#include "runner/join/host_login.h"
#include "runner/join/host_name.h"
#include "runner/join/identity.h"
#include "runner/join/options.h"
#include "runner/join/programs.h"
#include "runner/join/progress.h"
#include "runner/join/shim_process.h"
#include "runner/join/systemd.h"
#include "runner/join/tunnel.h"
#include "runner/join/undo.h"

namespace dstack::runner::join {

using namespace std::chrono_literals;

namespace {

constexpr std::chrono::seconds kUndoPause = 5s;  // while another command holds the lock

class RealFleetServer final : public FleetServer {
 public:
  explicit RealFleetServer(server_api::Client& client) : client_(client) {}

  std::optional<server_api::Fleet> fleet(const std::string& name) override { return client_.fleet(name); }
  void create(const nlohmann::json& spec) override { client_.apply_fleet(spec, false); }
  void remove(const std::string& name) override { client_.delete_fleet(name); }

 private:
  server_api::Client& client_;
};

Tunnel::Server tunnel_server(server_api::Client& client) {
  return {.user =
              [&client] {
                server_api::MyUser mine = client.my_user();
                return TunnelUser{.id = mine.user.id, .private_key = std::move(mine.ssh_private_key)};
              },
          .in_use =
              [&client] {
                std::vector<std::string> hosts;
                for (const server_api::Fleet& fleet : client.fleets_of_all_projects()) {
                  for (const server_api::FleetHost& host : fleet.hosts) hosts.push_back(host.hostname);
                }
                return hosts;
              }};
}

// Looks at the fleet until a stop, or until there is nothing more to look at.
FleetKeeper::Next::What keep_fleet(FleetKeeper& keeper, const os::Event& changed, os::Clock& clock,
                                   const std::function<bool()>& undo_when_deleted, const std::stop_token& stop) {
  using What = FleetKeeper::Next::What;
  while (!stop.stop_requested()) {
    changed.clear();
    FleetKeeper::Next next;
    try {
      next = keeper.look();
    } catch (const std::exception& error) {
      if (stop.stop_requested()) break;
      spdlog::error("{}", error.what());
    }
    if (next.what == What::failed) return next.what;
    if (next.what == What::deleted) {
      if (undo_when_deleted()) return next.what;
      next.pause = kUndoPause;
    }
    std::array<pollfd, 1> waiting{{{.fd = changed.fd(), .events = POLLIN, .revents = 0}}};
    os::Wait(clock, stop, clock.now() + next.pause).until_ready(waiting, "the fleet");
  }
  return What::look_again;
}

}  // namespace

std::optional<FileLock> FileLock::try_take(const std::filesystem::path& file) {
  os::UniqueFd opened = os::open_file(file, O_RDWR | O_CREAT, 0600);
  if (::flock(opened.get(), LOCK_EX | LOCK_NB) == 0) return FileLock(std::move(opened));
  if (errno == EWOULDBLOCK) return std::nullopt;
  throw os_error("lock", file.string());
}

int work(const Places& places, const State& state, const server_api::Account& account, const os::UniqueFd& signals,
         const std::function<bool()>& undo_when_deleted, const std::function<void()>& ready) {
  os::Clock& clock = os::system_clock();
  StateFile file(places, state);
  Progress progress(places, clock);
  const Identity identity = load_identity(places);
  const auto login = start_login(places, state, clock);

  std::stop_source stop;
  server_api::Client client(account, clock, stop.get_token());
  RealFleetServer server(client);
  const os::Event fleet_changed;
  const os::Event finished;
  FleetKeeper keeper(server, file,
                     {.runner_id = identity.id,
                      .host_name = host_name(),
                      .container_program = places.container_program(),
                      .public_key = identity.public_key,
                      .private_key = identity.private_key,
                      .is_leaving = [&places] { return !FileLock::try_take(places.leave_lock()); }},
                     progress, clock);
  std::atomic<FleetKeeper::Next::What> outcome = FleetKeeper::Next::What::look_again;

  std::vector<std::jthread> threads;
  const auto start = [&](auto task) {
    threads.emplace_back([&, task] {
      try {
        task();
      } catch (const std::exception& error) {
        spdlog::critical("{}", error.what());
        finished.set();
      }
    });
  };
  std::optional<Tunnel> tunnel;
  if (state.way_in == WayIn::tunnel) {
    tunnel.emplace(places, file, tunnel_server(client), progress, clock, [&fleet_changed] { fleet_changed.set(); });
    start([&] { tunnel->run(stop.get_token()); });
  } else {
    progress.way_in(true, "");
  }
  std::optional<ProgramKeeper> programs;
  if (!state.keep_server_binaries) {
    programs.emplace(places, progress, clock, [&places] { return restart_other_shim(places); });
    start([&] { programs->run(stop.get_token()); });
  }
  start([&] {
    outcome = keep_fleet(keeper, fleet_changed, clock, undo_when_deleted, stop.get_token());
    finished.set();
  });
  ready();

  std::array<pollfd, 2> waiting{
      {{.fd = signals.get(), .events = POLLIN, .revents = 0}, {.fd = finished.fd(), .events = POLLIN, .revents = 0}}};
  while (::poll(waiting.data(), waiting.size(), -1) < 0 && errno == EINTR) continue;
  if (waiting[0].revents != 0)
    spdlog::info("Signal {}: exiting; the fleet stays at the server", os::next_signal(signals));
  stop.request_stop();
  threads.clear();
  // Either way it is not to be started again by the service manager.
  if (outcome == FleetKeeper::Next::What::deleted || outcome == FleetKeeper::Next::What::failed)
    return exit_status::kDone;
  return waiting[0].revents != 0 ? exit_status::kDone : exit_status::kFailed;
}

int run_agent(const AgentOptions&) {
  os::ignore_broken_pipes();
  const os::UniqueFd signals = os::block_and_watch({SIGTERM, SIGINT});
  const Places places = places_of_host();
  const auto state = load_state(places);
  if (!state) throw CommandError(exit_status::kConfiguration, "this host is not a runner: dstack-runner start");
  const auto lock = FileLock::try_take(places.agent_lock());
  if (!lock) throw CommandError(exit_status::kFailed, "the agent of this runner is already running");
  log::set_up(spdlog::level::info, log::Stream::standard_error, places.log());
  os::ServiceNotifier manager;
  try {
    return work(
        places, *state, load_account(places), signals,
        [&] {
          // `leave` waits for this very moment.
          const auto command = FileLock::try_take(places.command_lock());
          if (!command) return false;
          spdlog::warn("The fleet was deleted at the server: this host is no longer a runner");
          undo_joining(places, *state, false);
          return true;
        },
        [&] { manager.ready("Keeps this host in the project"); });
  } catch (const std::exception& error) {
    spdlog::critical("{}", error.what());
    return exit_status::kFailed;
  }
}

}  // namespace dstack::runner::join
