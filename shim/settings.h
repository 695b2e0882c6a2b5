#pragma once

#include "shim/dcgm/services.h"
#include "shim/gpu/inventory.h"
#include "shim/host/host_info.h"
#include "shim/options.h"
#include "shim/task/launcher.h"

namespace dstack::shim {

// What the command line and the shim's own environment mean for containers.
task::LaunchSettings launch_settings(const Options& options);

dcgm::ServiceSettings dcgm_settings(const Options& options);

// What a server is told of the GPUs once.
host::GpuSummary gpu_summary(const gpu::Inventory& inventory);

}  // namespace dstack::shim
