#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "common/os/clock.h"
#include "common/server_api/client.h"
#include "common/server_api/settings.h"
#include "shim/autoscale/consent.h"

namespace CLI {
class App;
}

// dstack-shim autoscale: which machines a dstack server may start in AWS when jobs wait, and how many. The server
// starts and ends them; these commands write its fleets.
namespace dstack::shim::autoscale {

struct AutoscaleCommand {
  enum class Verb { allow, remove, info, enable, disable };
  std::optional<Verb> verb;  // nothing until its subcommand was given
  server_api::Given given;
  std::string instance_type;         // allow, remove
  std::string maximum;               // allow
  bool spot = false;                 // allow
  bool on_demand = false;            // allow
  std::vector<std::string> regions;  // allow; empty: as they are, or all
  std::string idle;                  // allow; empty: as it is, or 5 minutes
  bool all = false;                  // remove
  bool yes = false;                  // stop runs without asking
  bool drain = false;                // let runs end
  bool json = false;                 // info
};

CLI::App* add_autoscale_command(CLI::App& app, AutoscaleCommand& command);

// Throws CommandError, Error.
int execute(const AutoscaleCommand& command);

// What a command works with. Answers go to `out`, everything else to `talk`.
struct Session {
  server_api::Client& server;
  os::Clock& clock;
  std::ostream& out;
  std::ostream& talk;
  Consent::Ask ask;  // null where there is nobody to ask
};

// Each returns an exit status and throws CommandError. The command's flags were not looked at yet.
int allow(const AutoscaleCommand& command, Session& session);
int remove(const AutoscaleCommand& command, Session& session);
int show_rules(const AutoscaleCommand& command, Session& session);
int enable(const AutoscaleCommand& command, Session& session);
int disable(const AutoscaleCommand& command, Session& session);

// Throws CommandError (64) for flags that contradict each other or lack something, (65) for what is not an instance
// type. Asks nobody.
void check_flags(const AutoscaleCommand& command);

}  // namespace dstack::shim::autoscale
