#pragma once

#include <spdlog/common.h>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

namespace dstack::runner {

// `dstack-runner start`'s command line.
struct Options {
  spdlog::level::level_enum log_level = spdlog::level::info;
  std::filesystem::path temp_dir = "/tmp/runner";
  std::string http_address;  // empty: every interface
  int http_port = 10999;
  int ssh_port = 10022;
  std::vector<std::string> ssh_authorized_keys;
  std::string ssh_log_level = "INFO";
};

// What to do, or the exit code when there is nothing (more) to do: --help and --version are printed, and so is what is
// wrong with the command line, on stderr.
std::variant<Options, int> parse_command_line(int argc, const char* const* argv);

}  // namespace dstack::runner
