#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/os/clock.h"
#include "common/server_api/client.h"
#include "common/server_api/settings.h"

namespace CLI {
class App;
}

// dstack-shim runners: the machines that take jobs of a project.
namespace dstack::shim::pool {

struct RunnersOptions {
  server_api::Given given;
  bool all = false;  // those that failed, too
  bool json = false;
};

CLI::App* add_runners_command(CLI::App& app, RunnersOptions& options);
// Throws CommandError.
int list_runners(const RunnersOptions& options);

struct Runner {
  std::string name;
  std::string host;    // "-" while it is not known
  std::string status;  // LIVE OFFLINE JOINING LEAVING FAILED
  std::optional<os::WallTime> updated;
  bool self_hosted = false;
  std::string fleet;
  server_api::Instance instance;

  // Why it failed, as far as the server says.
  std::string reason() const;
};

// The runners of these fleets by their names, each updated when it was created. Those that failed only with `all`.
std::vector<Runner> runners_of(const std::vector<server_api::Fleet>& fleets, bool all);

// Asks the server for each runner's newest event, and sets when it was updated by that.
void look_up_events(server_api::Client& server, std::vector<Runner>& runners);

std::string runner_table(const std::vector<Runner>& runners, os::WallTime now);
nlohmann::json runner_list(const std::vector<Runner>& runners);

}  // namespace dstack::shim::pool
