#pragma once

#include <string>
#include <vector>

#include "shim/ci/launcher_flags.h"

namespace dstack::shim::ci::cloud {

// The dstack-shim of a cloud's machine, and of the run's container, into which it is mounted.
inline constexpr const char* kShimOfInstance = "/usr/local/bin/dstack-shim";

// Variables of a run.
inline constexpr const char* kRunnerVariable = "DSTACK_CI_RUNNER";             // the runner's id
inline constexpr const char* kRunnerTokenVariable = "DSTACK_CI_RUNNER_TOKEN";  // its own token
inline constexpr const char* kAgentVariable = "DSTACK_CI_AGENT";               // Agent::offer()
inline constexpr const char* kTokenVariable = "REPO_TOKEN";                    // the CI's, where the run needs that
inline constexpr const char* kStartupVariable = "DSTACK_CI_STARTUP_SCRIPT";    // base64
inline constexpr const char* kSubmissionVariable = "DSTACK_CI_SUBMISSION";     // which launcher has submitted it

// What the launcher in the run is told by flags.
struct RunLauncher {
  std::string name;
  std::string driver;  // "gitlab"
  std::string repo;    // its URL
};

// The shell commands of the run, for bash: the startup script first, then the launcher. They hold no secrets.
std::vector<std::string> run_commands(const LauncherFlags& flags, const RunLauncher& launcher);

}  // namespace dstack::shim::ci::cloud
