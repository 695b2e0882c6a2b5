#pragma once

#include <filesystem>
#include <optional>

#include "common/secret.h"
#include "shim/ci/github/hook.h"
#include "shim/ci/gitlab/driver.h"
#include "shim/ci/keeper.h"

namespace CLI {
class App;
}

namespace dstack::shim::ci {

struct CleanOptions {
  Secret token;                   // empty: inferred
  std::filesystem::path workdir;  // empty: those of the usual place
};

// dstack-shim ci: what a CI's agent, a launcher or a person calls, but for `ci-runner` itself.
struct CiCommand {
  enum class Verb { gitlab, github_hook, clean, keep };
  Verb verb = Verb::gitlab;
  gitlab::DriverOptions gitlab;
  github::HookOptions hook;
  CleanOptions clean;
  KeeperOptions keeper;
};

// `command` must outlive the parsing.
CLI::App* add_ci_command(CLI::App& app, CiCommand& command);
// Throws CommandError, Error.
int execute(const CiCommand& command);

// Removes what dead launchers left, at the CI too.
int clean(const CleanOptions& options);

}  // namespace dstack::shim::ci
