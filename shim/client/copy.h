#pragma once

#include <cstdint>
#include <string>

namespace CLI {
class App;
}

namespace dstack::shim::client {

// dstack-shim cp: files between this machine and the container of a task, running or ended, through the engine.
struct CopyOptions {
  int shim_port = 10998;
  std::string source;
  std::string destination;
  bool archive = false;      // keep owners
  bool follow_link = false;  // of the source
  bool quiet = false;
};

CLI::App* add_copy_command(CLI::App& app, CopyOptions& options);

// 0, or 1 if something was left out. Throws Error.
int copy(const CopyOptions& options);

}  // namespace dstack::shim::client
