#include <algorithm>
#include <csignal>
#include <format>
#include <iostream>

#include "common/error.h"
#include "common/exit_status.h"
#include "common/log/log.h"
#include "common/os/boot_id.h"
#include "common/os/core_files.h"
#include "common/os/idle_memory.h"
#include "common/os/service_notifier.h"
#include "common/os/signals.h"
#include "common/text/escape.h"
#include "shim/api/local_settings.h"
#include "shim/api/routes.h"
#include "shim/ci/launcher_flags.h"
#include "shim/dcgm/services.h"
#include "shim/docker/disk_limit.h"
#include "shim/docker/docker_config.h"
#include "shim/docker/host_credentials.h"
#include "shim/docker/unpack_folder.h"
#include "shim/gpu/health_monitor.h"
#include "shim/gpu/host_gpus.h"
#include "shim/gpu_detection.h"
#include "shim/home_lock.h"
#include "shim/host_end/systemd.h"
#include "shim/host_end/watch.h"
#include "shim/images/collector.h"
#include "shim/liveness.h"
#include "shim/metrics/registry.h"
#include "shim/options.h"
#include "shim/settings.h"
#include "shim/shutdown.h"
#include "shim/volume/host_volumes.h"

using namespace dstack;
using namespace dstack::shim;

namespace {

// The stages of a stop, and a moment for the job's end to be read.
constexpr std::chrono::seconds kShutdownLimit{13};
// For the removal of what is left then. The service's stop has 30 s.
constexpr std::chrono::seconds kShutdownEndLimit{5};

std::unique_ptr<host_end::NoticeSource> find_notice_source(const Options& options) {
  const auto cloud = host_end::find_cloud();
  if (!cloud || options.metadata_url.empty()) return nullptr;
  spdlog::info("Asking {} for notices of interruption", host_end::name_of(*cloud));
  return host_end::make_notice_source(*cloud, options.metadata_url);
}

// A restart of the service stops no job, a shutdown of the host does.
void stop_jobs_if_shutting_down(task::TaskManager& tasks) {
  if (!host_end::is_shutting_down()) return;
  spdlog::warn("The host shuts down: stopping the running jobs");
  tasks.interrupt("The host shuts down");
  tasks.await_ends(kShutdownLimit);
  tasks.end_interrupted(kShutdownEndLimit);
}

// DCGM may watch GPUs that are not this host's.
void set_lost_gpu_aside(const std::string& uuid, const shim::gpu::HostGpus& gpus, shim::gpu::SickGpus& sick) {
  const shim::gpu::Inventory* inventory = gpus.inventory();
  if (inventory != nullptr && !std::ranges::contains(inventory->gpus, uuid, &shim::gpu::Gpu::id)) {
    spdlog::warn("DCGM reports GPU {} as lost, which this host does not have", printable(uuid));
    return;
  }
  sick.set_aside(uuid, "lost: DCGM says so");
}

// Every task would fail.
void require_disk_limit(docker::EngineClient& engine) {
  const std::string reason = docker::why_no_disk_limit(engine.known_info());
  if (!reason.empty()) throw Error(ErrorKind::invalid, std::format("--task-disk cannot be used: {}", reason));
}

void run_daemon(const Options& options, const os::UniqueFd& signals) {
  os::Clock& clock = os::system_clock();
  http::Server server;
  Shutdown shutdown(server, signals);
  os::ServiceNotifier service_manager;

  service_manager.status("Looking for dstack-runner");
  component::Components components(options.runner_binary_path, options.binary_path);
  components.ensure_runner(options.runner_download_url);

  service_manager.status("Looking for Docker");
  docker::EngineClient engine(docker::engine_address());
  engine.connect();
  if (options.task_disk > 0) require_disk_limit(engine);
  metrics::Registry metrics;
  const auto images_folder = [&engine] {
    return docker::unpack_folder(engine.known_info({.limit = std::chrono::seconds(5)}));
  };
  metrics.watch_disk("home", [&options] { return options.home; });
  metrics.watch_disk("images", images_folder);
  images::Collector pulled_images(
      engine, collect_settings(options), [images_folder] { return images::disk_space(images_folder()); },
      [&metrics] { metrics.image_removed(); }, clock);
  const docker::HostCredentials host_credentials(docker::docker_config_file(), clock);
  docker::MirrorNames mirror_names(options.home / "mirror-names.json", engine);
  docker::ImagePuller puller({.engine = engine,
                              .clock = clock,
                              .on_end = [&metrics](const docker::PullOutcome& outcome) { metrics.pull_ended(outcome); },
                              .observer = &pulled_images,
                              .host_credentials = options.host_credentials ? &host_credentials : nullptr,
                              .mirror = options.registry_mirror,
                              .mirror_names = &mirror_names});
  host::KeyRing keys;
  volume::HostVolumes volumes;
  shim::gpu::HostGpus gpus;
  shim::gpu::SickGpus sick(
      options.home / "sick-gpus.json", os::boot_id(), [&gpus](const shim::gpu::Sicknesses& all) { gpus.set_sick(all); },
      clock);
  const GpuDetection detection({engine, puller, gpus}, options.service ? options.home : std::filesystem::path());
  std::optional<task::KeptLogs> kept_logs;
  if (options.keep_logs) kept_logs.emplace(options.home / "logs", *options.keep_logs, clock);
  task::TaskManager tasks(
      options.home, {engine, puller, keys, volumes, gpus, kept_logs ? &*kept_logs : nullptr}, launch_settings(options),
      clock, [&metrics](std::chrono::nanoseconds took) { metrics.task_started(took); },
      [&metrics] { metrics.keys_left(); });
  service_manager.status("Restoring tasks");
  tasks.restore();
  const images::DiskWatch disk_watch(pulled_images, [&tasks] { return tasks.needed_images(); });
  sick.on_set_aside([&tasks](const std::string& id, const std::string& reason) {
    tasks.tell_jobs_of_gpu(id, std::format("GPU {} is not well, and later jobs will not get it: {}", id, reason));
  });
  const shim::gpu::HealthMonitor gpu_health(sick, gpus);
  const host_end::Watch host_end_watch([&tasks](const std::string& message) { tasks.interrupt(message); },
                                       [] { return host_end::find_scheduled_shutdown(); },
                                       os::PathWatch(host_end::shutdown_schedule()), find_notice_source(options));
  const dcgm::Services monitoring = dcgm::start_services(
      dcgm_settings(options, [&gpus, &sick](const std::string& uuid) { set_lost_gpu_aside(uuid, gpus, sick); }));

  Drain drain(options.home);
  api::LegacyApi legacy(tasks, drain);
  const auto peers = guard_peers(options, tasks);
  api::add_routes(server, {tasks, legacy, drain, components, gpus, monitoring, metrics, peers.get(),
                           [&shutdown](bool force) { shutdown.request(force); }});
  const int port = server.bind("127.0.0.1", options.http_port);
  api::add_local_settings_route(server, local_settings(options, port, engine.address()), components, drain, gpus);
  api::add_gpu_routes(server, sick);
  spdlog::info("dstack-shim listens on 127.0.0.1:{}", port);
  os::give_back_idle_memory();
  shutdown.serving([&tasks] { tasks.shut_down(); }, [&tasks] { stop_jobs_if_shutting_down(tasks); });
  service_manager.ready(std::format("Listens on 127.0.0.1:{}", port));
  const Liveness liveness(service_manager, [port] { return answers_health_check(port); });
  server.run();
  service_manager.stopping();
  shutdown.served();
}

int serve(const Options& options) {
  const os::UniqueFd signals = os::block_and_watch({SIGINT, SIGTERM});
  os::ignore_broken_pipes();
  const HomeLock lock(options.home);
  log::set_up(options.log_level, log::Stream::standard_error, options.home / "shim.log");
  try {
    run_daemon(options, signals);
    return 0;
  } catch (const std::exception& error) {
    // For the log's file too.
    spdlog::critical("{}", error.what());
    return 1;
  }
}

}  // namespace

int main(int argc, char** argv) {
  os::forbid_core_files();
  try {
    const auto invocation = parse_command_line(argc, argv);
    ci::hide_token(argc, argv);
    if (const auto* daemon = std::get_if<Options>(&invocation)) return serve(*daemon);
    if (const auto* command = std::get_if<cli::Command>(&invocation)) return cli::execute(*command, "dstack-shim");
    return std::get<int>(invocation);
  } catch (const std::exception& error) {
    std::cerr << "dstack-shim: " << text::escape_controls(error.what()) << "\n";
    return exit_status::kFailed;
  }
}
