#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "common/server_api/settings.h"

namespace CLI {
class App;
}

// dstack-shim relay: lets hosts that can only connect outward open a way in for a dstack server, through the SSH server
// of the machine that this runs on. A host logs in as the user dstack-relay, with the key that the dstack server made
// for the token's user, and may listen on that user's addresses of the loopback interface and do nothing else.
namespace dstack::shim::relay {

struct RelayCommand {
  enum class Verb { install, keys, hold, remove };
  std::optional<Verb> verb;  // nothing until its subcommand was given
  server_api::Given given;   // install
  std::string blob;          // keys: the public key that logs in, in base64
};

CLI::App* add_relay_command(CLI::App& app, RelayCommand& command);

// Throws CommandError, Error.
int execute(const RelayCommand& command);

// Where it keeps things on the machine; tests put it below a folder of theirs.
struct RelayPlaces {
  std::filesystem::path root = "/";
  std::filesystem::path settings() const { return root / "etc/dstack/relay.yaml"; }
  std::filesystem::path drop_in() const { return root / "etc/ssh/sshd_config.d/50-dstack-relay.conf"; }
  std::filesystem::path sshd_config() const { return root / "etc/ssh/sshd_config"; }
};

// Whose server the relay asks for keys. Throws CommandError; Failure where the token's user is no member of the
// project.
server_api::Account account_of_member(const server_api::Given& given);

int install(const RelayCommand& command, const RelayPlaces& places);
int remove_relay(const RelayPlaces& places);
// sshd's AuthorizedKeysCommand: prints the line of authorized_keys for a member's key, and nothing for any other.
int print_keys(const std::string& blob, const RelayPlaces& places);
// The forced command of a login: answers each byte, and ends the login when none comes for 30 s.
int hold();

// The line for that key, if a member of the project has it.
std::optional<std::string> key_line(const server_api::Project& project, const std::string& blob);

}  // namespace dstack::shim::relay
