#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace dstack::shim::client {

// dstack-shim exec: a program in a running task's container, through the engine.
struct ExecOptions {
  int shim_port = 10998;
  std::string task;
  bool input = false;
  bool terminal = false;
  std::vector<std::string> environment;  // K=V, or K for the value that it has here
  std::string working_dir;               // empty: the container's
  std::string user;                      // empty: the container's
  std::vector<std::string> command;
};

CLI::App* add_exec_command(CLI::App& app, ExecOptions& options);

// The program's exit status, or 128 + n if this command was ended by signal n. Throws Error.
int exec(const ExecOptions& options);

}  // namespace dstack::shim::client
