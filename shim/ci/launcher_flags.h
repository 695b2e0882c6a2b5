#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/secret.h"
#include "shim/ci/cloud/flags.h"
#include "shim/ci/container_flags.h"
#include "shim/ci/idle_time.h"

namespace CLI {
class App;
}

namespace dstack::shim::ci {

enum class LogFormat { text, json };

// The command line of `dstack-shim ci-runner` and the variables that stand in for it, checked.
struct LauncherFlags {
  std::vector<std::string> labels{"cml"};
  IdleTime idle{.limit = std::chrono::seconds(300)};
  std::string name;  // empty: one is made up
  bool single = false;
  bool reuse = false;
  bool reuse_idle = false;
  std::string driver;  // empty: inferred
  std::string repo;    // empty: inferred
  Secret token;        // empty: inferred
  bool no_retry = false;
  std::filesystem::path workdir;  // empty: by the name
  ContainerFlags containers;
  cloud::CloudFlags cloud;
  std::optional<LogFormat> log_format;  // nothing: by what standard error is
  bool is_cml_runner = false;           // called by that name: --host-jobs is the default
  std::vector<std::string> warnings;    // of CML's flags that do nothing here
};

// `flags` must outlive the parsing.
CLI::App* add_ci_runner_command(CLI::App& app, LauncherFlags& flags);

// Overwrites the values of --token and the other secret flags in the process's own argument list, which every user of
// the machine can read.
void hide_token(int argc, char** argv);

// The arguments behind the program's name; those of `dstack-shim ci-runner` where it was called as cml-runner.
std::vector<std::string> launcher_command_line(int argc, const char* const* argv);

// Whether they are ci-runner's, and ask for the version, whatever else they say.
bool asks_for_version(const std::vector<std::string>& arguments);

}  // namespace dstack::shim::ci
