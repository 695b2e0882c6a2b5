#pragma once

#include <spdlog/common.h>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "runner/chown.h"
#include "runner/join/options.h"

namespace dstack::runner {

// `dstack-runner start`'s command line in a container.
struct Options {
  spdlog::level::level_enum log_level = spdlog::level::info;
  std::filesystem::path temp_dir = "/tmp/runner";
  std::string http_address;  // empty: every interface
  int http_port = 10999;
  int ssh_port = 10022;
  std::vector<std::string> ssh_authorized_keys;
  std::string ssh_log_level = "INFO";
  bool hold = false;                 // no job: programs are started in the container through the API
  std::filesystem::path token_file;  // whoever calls a runner that holds must know what is in it; empty: anybody may
};

// `dstack-runner supervise`: what the runner starts for each program; see exec/supervisor.h.
struct SuperviseCommand {};

// A container's runner, a command of a host's or of the runner's own, or the exit code when there is nothing (more) to
// do: --help and --version are printed, and so is what is wrong with the command line, on stderr. `process_1`: whether
// this process is a container's first.
using Invocation = std::variant<Options, join::Command, ChownCommand, SuperviseCommand, int>;

Invocation parse_command_line(int argc, const char* const* argv, bool process_1);

}  // namespace dstack::runner
