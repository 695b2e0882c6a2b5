#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/server_api/settings.h"

namespace CLI {
class App;
}

// dstack-runner on a host: config, start, status and leave make it a runner of a dstack server's project, or no longer.
namespace dstack::runner::join {

struct ConfigOptions {
  server_api::Given given;
  bool check = true;
};

// Where an SSH server passes this host's port on, instead of the relay that the contract of `dstack-shim relay` makes.
struct RelayOptions {
  std::string user;    // --relay-user
  std::string key;     // --relay-key, a file
  std::string listen;  // --relay-listen, ADDRESS:PORT

  bool is_custom() const { return !user.empty() || !key.empty() || !listen.empty(); }
};

struct StartOptions {
  server_api::Given given;
  std::string address;  // HOST[:PORT] that the server reaches directly; empty: a tunnel, or loopback
  RelayOptions relay;
  std::string blocks = "1";
  std::vector<std::string> environment;  // NAME=VALUE, for the shim
  bool foreground = false;
  bool wait = true;
  bool keep_server_binaries = false;
};

struct StatusOptions {
  server_api::Given given;
  bool json = false;
};

struct LeaveOptions {
  server_api::Given given;
  bool force = false;
  bool purge = false;
};

// The service's own process; started by the unit that `start` writes.
struct AgentOptions {};

using Command = std::variant<std::monostate, ConfigOptions, StartOptions, StatusOptions, LeaveOptions, AgentOptions>;

// `start` is a container's if this is process 1 or a flag of a container's is given, otherwise it is a host's. Throws
// CommandError (64) for flags of both.
bool is_host_start(int argc, const char* const* argv, bool process_1);

// Adds the commands, and a host's flags to `start`. `command` is set by the one that is parsed; it must outlive the
// parsing, and so must `start_options`.
void add_commands(CLI::App& app, CLI::App& start, StartOptions& start_options, Command& command);

// Runs it. Throws CommandError, Error.
int execute(const Command& command);

int configure(const ConfigOptions& options);
int start(const StartOptions& options);
int show_status(const StatusOptions& options);
int leave(const LeaveOptions& options);
int run_agent(const AgentOptions& options);

}  // namespace dstack::runner::join
