#pragma once

#include <optional>

#include "shim/ci/gitlab/driver.h"

namespace CLI {
class App;
}

namespace dstack::shim::ci {

// dstack-shim ci: what a CI's agent calls.
struct CiCommand {
  gitlab::DriverOptions gitlab;
};

// `command` must outlive the parsing.
CLI::App* add_ci_command(CLI::App& app, CiCommand& command);
int execute(const CiCommand& command);

}  // namespace dstack::shim::ci
