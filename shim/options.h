#pragma once

#include <spdlog/common.h>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/cli/commands.h"
#include "shim/docker/registry_mirror.h"
#include "shim/images/disk_share.h"
#include "shim/task/kept_logs.h"

namespace dstack::shim {

// The command line and the variables that stand in for it. A flag beats its variable; an empty variable counts as
// unset.
struct Options {
  std::filesystem::path home;         // absolute
  std::filesystem::path binary_path;  // of dstack-shim itself
  int http_port = 10998;
  spdlog::level::level_enum log_level = spdlog::level::info;

  std::string runner_download_url;  // empty: none
  std::filesystem::path runner_binary_path = "/usr/local/bin/dstack-runner";
  int runner_http_port = 10999;
  int runner_ssh_port = 10022;
  std::string runner_ssh_log_level;  // empty: not passed on
  std::string runner_log_level = "info";

  int dcgm_exporter_http_port = 10997;
  int dcgm_exporter_interval_ms = 5000;
  std::string dcgm_address;  // empty: the embedded host engine

  std::vector<std::string> pass_env;  // names of variables that containers get if they are set
  bool privileged = false;
  std::int64_t task_pids = 32768;                         // processes and threads of a container; 0: no limit
  std::int64_t task_disk = 0;                             // bytes of a container's own layer; 0: no limit
  std::optional<docker::RegistryMirror> registry_mirror;  // tried first for public images
  bool host_credentials = false;                          // images are pulled with root's logins where a task has none
  std::string pjrt_device;                                // empty: not set in containers
  images::DiskShare image_gc_start;                       // less free on Docker's disk: images are removed
  images::DiskShare image_gc_stop;
  std::chrono::seconds image_gc_min_age{0};
  std::optional<task::LogLimits> keep_logs;  // of removed tasks
  std::string metadata_url;                  // of the cloud that this host is in; empty: it is not asked
  bool service = false;
  bool allow_task_callers = false;
};

// The daemon, a subcommand of a person's, or the exit status when there is nothing (more) to do: --help and --version
// are printed, and so is what is wrong with the command line, on stderr.
using Invocation = std::variant<Options, cli::Command, int>;

Invocation parse_command_line(int argc, const char* const* argv);

}  // namespace dstack::shim
