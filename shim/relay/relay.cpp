#include "shim/relay/relay.h"

#include <CLI/CLI.hpp>

#include "common/exit_status.h"
#include "common/server_api/flags.h"

namespace dstack::shim::relay {

CLI::App* add_relay_command(CLI::App& app, RelayCommand& command) {
  using Verb = RelayCommand::Verb;
  CLI::App* relay = app.add_subcommand(
      "relay", "On a dstack server's machine: an SSH relay for hosts that cannot be reached from outside");
  relay->require_subcommand(1);
  const auto add = [&](const char* name, const char* description, Verb verb) {
    CLI::App* added = relay->add_subcommand(name, description);
    added->callback([&command, verb] { command.verb = verb; });
    return added;
  };
  CLI::App* install =
      add("install", "Make the user dstack-relay and a part of sshd's configuration for it", Verb::install);
  server_api::add_account_flags(*install, command.given);
  add("remove", "Undo what install did", Verb::remove);
  CLI::App* keys = add("keys", "Called by sshd: the line of authorized_keys for a key", Verb::keys);
  keys->add_option("blob", command.blob, "The key in base64")->required();
  add("hold", "Called by sshd: holds a tunnel as long as its host answers", Verb::hold);
  return relay;
}

int execute(const RelayCommand& command) {
  const RelayPlaces places;
  if (!command.verb) return exit_status::kUsage;
  switch (*command.verb) {
    case RelayCommand::Verb::install: return install(command, places);
    case RelayCommand::Verb::keys: return print_keys(command.blob, places);
    case RelayCommand::Verb::hold: return hold();
    case RelayCommand::Verb::remove: return remove_relay(places);
  }
  return exit_status::kUsage;
}

}  // namespace dstack::shim::relay
