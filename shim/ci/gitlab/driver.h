#pragma once

#include <filesystem>
#include <string>

#include "shim/ci/container_flags.h"

namespace CLI {
class App;
}

namespace dstack::shim::ci::gitlab {

// dstack-shim ci gitlab: what gitlab-runner's custom executor calls, a process for each stage of a job.
struct DriverOptions {
  enum class Stage { config, prepare, run, cleanup };

  std::filesystem::path state;
  ContainerFlags containers;
  Stage stage = Stage::config;
  std::filesystem::path script;  // run
  std::string script_stage;      // run: "build_script"
};

CLI::App* add_driver_command(CLI::App& ci, DriverOptions& options);

// Returns the exit status that gitlab-runner expects: 0, BUILD_FAILURE_EXIT_CODE for what the job is to blame for,
// SYSTEM_FAILURE_EXIT_CODE for anything else, with a message on stderr.
int drive(const DriverOptions& options);

}  // namespace dstack::shim::ci::gitlab
