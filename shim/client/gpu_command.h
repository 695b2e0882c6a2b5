#pragma once

#include <string>

namespace CLI {
class App;
}

namespace dstack::shim::client {

// dstack-shim gpu ok: a GPU that a running shim has set aside is well. Returns 0; throws Error where no shim answers,
// or the GPU is not set aside.
struct GpuOptions {
  int shim_port = 10998;
  std::string id;
};
CLI::App* add_gpu_command(CLI::App& app, GpuOptions& options);
int accept_gpu(const GpuOptions& options);

}  // namespace dstack::shim::client
