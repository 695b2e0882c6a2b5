#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace dstack::shim::client {

// dstack-shim run: what a person asks of a running shim.
struct RunOptions {
  int shim_port = 10998;
  std::string image = "ubuntu:24.04";
  std::string name;        // empty: one is made up
  std::string gpus = "0";  // a number or "all"
  double cpus = 0;
  std::uint64_t memory = 0;                    // bytes
  std::uint64_t shm_size = 0;                  // bytes
  std::vector<std::string> environment;        // see environment.h
  std::vector<std::string> environment_files;  // paths
  std::vector<std::string> volumes;            // HOST:PATH[:ro|rw]
  std::vector<std::string> ports;              // see published_port.h
  std::string working_dir;
  std::string user;  // name or uid, with ":group" or ":gid" if need be
  std::optional<std::string> entrypoint;
  bool input = false;
  bool terminal = false;
  bool detach = false;
  bool remove = false;
  bool json = false;
  std::vector<std::string> command;

  // The image's own program is the container's first process, and no runner.
  bool is_plain() const { return command.empty() || entrypoint || input || terminal; }
};

// Adds the subcommand's flags; `options` must outlive the parsing.
CLI::App* add_run_command(CLI::App& app, RunOptions& options);

// Runs the command until it exits and returns its exit status: 128 + n for a signal, 125 if it could not be run (why is
// on stderr), 126 if it is not executable, 127 if it was not found. SIGINT and SIGTERM stop the command, a second one
// kills it; with a terminal, Ctrl-C is the command's own. Throws Error for what is found out before there is a task.
int run(const RunOptions& options);

}  // namespace dstack::shim::client
