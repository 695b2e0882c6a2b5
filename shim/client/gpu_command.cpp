#include "shim/client/gpu_command.h"

#include <CLI/CLI.hpp>
#include <format>
#include <iostream>

#include "shim/client/shim_api.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

CLI::App* add_gpu_command(CLI::App& app, GpuOptions& options) {
  CLI::App* gpu = app.add_subcommand("gpu", "GPUs that are set aside since they are not well");
  gpu->require_subcommand(1);
  CLI::App* accept = gpu->add_subcommand("ok", "Hand a GPU out again that was set aside");
  accept->add_option("id", options.id, "The GPU's id, as `doctor` prints it")->required();
  return gpu;
}

int accept_gpu(const GpuOptions& options) {
  ShimApi(options.shim_port).accept_gpu(options.id);
  std::cerr << std::format("{} is handed out again\n", legible(options.id));
  return 0;
}

}  // namespace dstack::shim::client
