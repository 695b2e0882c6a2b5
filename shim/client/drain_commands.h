#pragma once

#include <string>

namespace CLI {
class App;
}

// dstack-shim drain and undrain: whether a running shim takes new tasks. Both return 0, and throw Error where no shim
// answers or it cannot write it down.
namespace dstack::shim::client {

struct DrainOptions {
  int shim_port = 10998;
  std::string reason;
};
CLI::App* add_drain_command(CLI::App& app, DrainOptions& options);
int drain_host(const DrainOptions& options);

struct UndrainOptions {
  int shim_port = 10998;
};
CLI::App* add_undrain_command(CLI::App& app, UndrainOptions& options);
int undrain_host(const UndrainOptions& options);

}  // namespace dstack::shim::client
