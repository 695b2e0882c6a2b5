#pragma once

#include <cstdint>
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
  std::uint64_t memory = 0;              // bytes
  std::uint64_t shm_size = 0;            // bytes
  std::vector<std::string> environment;  // K=V
  std::vector<std::string> volumes;      // HOST:PATH
  std::string working_dir;
  std::string user;  // name or uid, with ":group" or ":gid" if need be
  bool detach = false;
  bool remove = false;
  std::vector<std::string> command;
};

// Adds the subcommand's flags; `options` must outlive the parsing.
CLI::App* add_run_command(CLI::App& app, RunOptions& options);

// Runs the job to its end and returns the exit code: the job's own, 128 + n for a signal, 1 for anything that kept it
// from running (told on stderr). SIGINT and SIGTERM stop the job, a second one terminates its task.
int run(const RunOptions& options);

}  // namespace dstack::shim::client
