#include "runner/join/host_login.h"

#include <format>

#include "common/error.h"
#include "common/os/remove_tree.h"

namespace dstack::runner::join {

std::unique_ptr<ssh::Server> start_login(const Places& places, const State& state, os::Clock& clock) {
  if (state.way_in == WayIn::host_sshd) return nullptr;
  const bool everywhere = state.way_in == WayIn::direct;
  // The dstack server connects anew for each look: what is normal is not logged.
  ssh::Server::Settings settings{
      .port = everywhere ? state.address.port : kLoginPort,
      .log_level = "ERROR",
      .places = {.folder = places.ssh_server()},
      .forwarded_sockets = "",
      .host = ssh::HostLogin{.address = everywhere ? "" : "127.0.0.1",
                             .authorized_keys = {places.fleet_public_key(), places.authorized_keys()}}};
  // What an earlier one unpacked may be another release's; its host keys stay.
  std::error_code failure;
  if (std::filesystem::exists(places.ssh_server(), failure)) os::remove_tree(places.ssh_server(), "bin");
  auto server = std::make_unique<ssh::Server>(std::move(settings), clock);
  if (!server->wait_ready()) {
    throw Error(ErrorKind::unavailable, server->problem().value_or("the SSH server does not answer"));
  }
  return server;
}

}  // namespace dstack::runner::join
