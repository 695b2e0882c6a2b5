#pragma once

#include <memory>

#include "shim/api/local_settings.h"
#include "shim/dcgm/services.h"
#include "shim/gpu/inventory.h"
#include "shim/host/host_info.h"
#include "shim/host/peer_guard.h"
#include "shim/images/collector.h"
#include "shim/options.h"
#include "shim/task/task_manager.h"

namespace dstack::shim {

// What the command line and the shim's own environment mean for containers.
task::LaunchSettings launch_settings(const Options& options);

images::CollectSettings collect_settings(const Options& options);

dcgm::ServiceSettings dcgm_settings(const Options& options, std::function<void(const std::string& uuid)> on_lost_gpu);

// What a person's commands are told, of a shim that serves on `port`.
api::LocalSettings local_settings(const Options& options, int port, const std::string& engine_address);

// What a server is told of the GPUs once.
host::GpuSummary gpu_summary(const gpu::Inventory& inventory);

// Keeps tasks' containers from the API, unless the options let them; the log says by what means. The tasks must outlive
// it.
std::unique_ptr<host::PeerGuard> guard_peers(const Options& options, const task::TaskManager& tasks);

}  // namespace dstack::shim
