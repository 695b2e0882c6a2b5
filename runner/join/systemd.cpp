#include "runner/join/systemd.h"

#include <chrono>
#include <format>

#include "common/error.h"
#include "common/os/command.h"

namespace dstack::runner::join {

namespace {

// A unit that is stopped may take its time; nothing here waits for longer.
constexpr std::chrono::milliseconds kLimit = std::chrono::seconds(120);

os::CommandResult systemctl(const char* verb, const std::string& unit = "") {
  os::Command command{.arguments = {"systemctl", verb}, .limit = kLimit};
  if (!unit.empty()) command.arguments.push_back(unit);
  return os::run_command(command);
}

void demand(const char* verb, const std::string& unit = "") {
  const os::CommandResult result = systemctl(verb, unit);
  if (!result.succeeded()) {
    throw Error(ErrorKind::unavailable, std::format("systemctl {} {}: {}", verb, unit, result.describe()));
  }
}

}  // namespace

void reload_units() { demand("daemon-reload"); }
void enable_unit(const std::string& unit) { demand("enable", unit); }
void disable_unit(const std::string& unit) { demand("disable", unit); }
void start_unit(const std::string& unit) { demand("start", unit); }
void stop_unit(const std::string& unit) { demand("stop", unit); }
void restart_unit(const std::string& unit) { demand("restart", unit); }
bool unit_is_active(const std::string& unit) { return systemctl("is-active", unit).succeeded(); }
bool unit_is_enabled(const std::string& unit) { return systemctl("is-enabled", unit).succeeded(); }

}  // namespace dstack::runner::join
