#include "runner/join/identity.h"

#include <array>
#include <format>
#include <random>
#include <string_view>

#include "common/error.h"
#include "common/os/command.h"
#include "common/os/file.h"
#include "common/os/remove_tree.h"
#include "runner/ssh/programs.h"

namespace dstack::runner::join {

namespace {

std::string new_id() {
  std::random_device random;
  return std::format("{:08x}-{:08x}-{:08x}-{:08x}", random(), random(), random(), random());
}

std::string without_line_end(std::string text) {
  while (text.ends_with('\n') || text.ends_with('\r') || text.ends_with(' ')) text.pop_back();
  return text;
}

std::string run_keygen(const Places& places, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), places.ssh_server() / "bin" / "ssh-keygen");
  const auto result = os::run_command({.arguments = std::move(arguments)});
  if (!result.succeeded()) throw Error(ErrorKind::internal, "ssh-keygen " + result.describe());
  return result.output;
}

void make_key(const Places& places) {
  const std::filesystem::path made = places.folder() / "fleet_key.new";
  os::remove_file(made);
  os::remove_file(made.string() + ".pub");
  run_keygen(places, {"-q", "-t", "ed25519", "-N", "", "-C", "dstack-runner", "-f", made});
  os::remove_file(made.string() + ".pub");
  std::filesystem::rename(made, places.fleet_key());
  os::sync_directory(places.folder());
}

}  // namespace

Identity make_identity(const Places& places) {
  const bool has_keys = is_there(places.fleet_key()) && is_there(places.fleet_public_key());
  // A server that runs is left alone.
  if (!has_keys && !is_there(places.ssh_server() / "bin" / "ssh-keygen")) {
    if (is_there(places.ssh_server() / "bin")) os::remove_tree(places.ssh_server(), "bin");
    ssh::unpack_programs(places.ssh_server() / "bin");
  }
  if (!is_there(places.id())) os::write_file_atomic(places.id(), new_id() + "\n", 0600);
  if (!is_there(places.fleet_key())) make_key(places);
  if (!is_there(places.fleet_public_key())) {
    os::write_file_atomic(places.fleet_public_key(), run_keygen(places, {"-y", "-f", places.fleet_key()}), 0644);
  }
  return load_identity(places);
}

Identity load_identity(const Places& places) {
  return {.id = without_line_end(os::read_file(places.id(), 4096)),
          .public_key = without_line_end(os::read_file(places.fleet_public_key(), 4096)),
          .private_key = Secret(os::read_file(places.fleet_key(), 16384))};
}

}  // namespace dstack::runner::join
