#include "shim/settings.h"

#include <spdlog/spdlog.h>
#include <cstdlib>

#include "shim/host/peer_look_up.h"

namespace dstack::shim {

task::LaunchSettings launch_settings(const Options& options) {
  task::LaunchSettings settings{.runner_binary = options.runner_binary_path,
                                .runner_log_level = options.runner_log_level,
                                .runner_ssh_log_level = options.runner_ssh_log_level,
                                .runner_http_port = options.runner_http_port,
                                .runner_ssh_port = options.runner_ssh_port,
                                .privileged = options.privileged,
                                .task_pids = options.task_pids,
                                .task_disk = options.task_disk};
  for (const std::string& name : options.pass_env) {
    const char* value = std::getenv(name.c_str());
    // An empty one counts as unset.
    if (value != nullptr && *value != '\0') settings.environment.push_back(name + "=" + value);
  }
  if (!options.pjrt_device.empty()) settings.environment.push_back("PJRT_DEVICE=" + options.pjrt_device);
  return settings;
}

images::CollectSettings collect_settings(const Options& options) {
  return {.file = options.home / "images.json",
          .start = options.image_gc_start,
          .stop = options.image_gc_stop,
          .min_age = options.image_gc_min_age};
}

dcgm::ServiceSettings dcgm_settings(const Options& options, std::function<void(const std::string&)> on_lost_gpu) {
  return {.home = options.home,
          .exporter_port = options.dcgm_exporter_http_port,
          .exporter_interval = std::chrono::milliseconds(options.dcgm_exporter_interval_ms),
          .address = options.dcgm_address,
          .on_lost_gpu = std::move(on_lost_gpu)};
}

std::unique_ptr<host::PeerGuard> guard_peers(const Options& options, const task::TaskManager& tasks) {
  if (options.allow_task_callers) {
    spdlog::warn("Calls from tasks' containers are allowed: a job in the host's network is root on the host");
    return nullptr;
  }
  const host::PeerLookUp means = host::try_peer_look_up();
  if (means.active()) {
    spdlog::info("Checking API callers {}", means.explanation);
  } else {
    spdlog::warn("API callers cannot be checked: {}. A job in the host's network is root on the host",
                 means.explanation);
  }
  return std::make_unique<host::PeerGuard>([&tasks] { return tasks.containers(); });
}

api::LocalSettings local_settings(const Options& options, int port, const std::string& engine_address) {
  return {.home = options.home,
          .binary_path = options.binary_path,
          .runner_binary_path = options.runner_binary_path,
          .http_port = port,
          .runner_http_port = options.runner_http_port,
          .runner_ssh_port = options.runner_ssh_port,
          .dcgm_exporter_http_port = options.dcgm_exporter_http_port,
          .engine_address = engine_address,
          .pass_env = options.pass_env,
          .privileged = options.privileged,
          .allow_task_callers = options.allow_task_callers,
          .service = options.service};
}

host::GpuSummary gpu_summary(const gpu::Inventory& inventory) {
  if (inventory.gpus.empty()) return {};
  return {.vendor = std::string(dstack::gpu::name_of(inventory.vendor)),
          .name = gpu::name_of_gpus(inventory),
          .memory = gpu::memory_of_gpus(inventory),
          .count = static_cast<int>(inventory.gpus.size())};
}

}  // namespace dstack::shim
