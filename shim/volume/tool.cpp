#include "shim/volume/tool.h"

#include <format>

#include "common/error.h"

namespace dstack::shim::volume {

os::CommandResult run_tool(std::vector<std::string> arguments, std::chrono::milliseconds limit,
                           const std::stop_token& stop, os::Clock& clock) {
  const os::Command command{.arguments = std::move(arguments), .limit = limit};
  os::CommandResult result = os::run_command(command, stop, clock);
  using End = os::CommandResult::End;
  if (result.end == End::cancelled) {
    throw Error(ErrorKind::cancelled, std::format("{}: cancelled", command.arguments.front()));
  }
  if (result.end == End::timed_out) {
    throw Error(ErrorKind::timed_out, std::format("{}: {}", command.arguments.front(), result.describe()));
  }
  return result;
}

}  // namespace dstack::shim::volume
