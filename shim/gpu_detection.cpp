#include "shim/gpu_detection.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

#include "common/error.h"
#include "common/os/thread.h"
#include "shim/docker/unpack_folder.h"
#include "shim/gpu/detect.h"
#include "shim/host/host_info.h"
#include "shim/host/resources.h"
#include "shim/settings.h"

namespace dstack::shim {

namespace {

constexpr std::chrono::seconds kPause{10};

}  // namespace

GpuDetection::GpuDetection(Services services, std::filesystem::path host_info_home, std::filesystem::path root,
                           os::Clock& clock)
    : services_(services), host_info_home_(std::move(host_info_home)), root_(std::move(root)), clock_(clock) {
  if (dstack::gpu::detect_vendor(root_) == gpu::Vendor::none) {
    // Nothing to wait for.
    services_.gpus.learn({});
    if (try_write_host_info({})) return;
  }
  thread_ = os::start_thread<std::jthread>("detect GPUs", [this](const std::stop_token& stop) { detect(stop); });
}

void GpuDetection::detect(const std::stop_token& stop) {
  while (!services_.gpus.known()) {
    try {
      services_.gpus.learn(gpu::detect(services_.engine, services_.puller, root_, clock_, stop));
    } catch (const std::exception& error) {
      if (stop.stop_requested()) return;
      spdlog::error("detect GPUs: {}; trying again in {} s", error.what(), kPause.count());
      if (!os::pause(clock_, kPause, stop)) return;
    }
  }
  // Docker may be away, or the disk full; a server waits for minutes.
  while (!try_write_host_info(stop) && os::pause(clock_, kPause, stop)) {
  }
}

bool GpuDetection::try_write_host_info(const std::stop_token& stop) {
  if (host_info_home_.empty()) return true;
  try {
    const docker::EngineInfo engine = services_.engine.known_info({.stop = stop});
    host::write_host_info(host_info_home_, host::detect_resources(docker::unpack_folder(engine)),
                          gpu_summary(*services_.gpus.inventory()));
    return true;
  } catch (const std::exception& error) {
    if (!stop.stop_requested()) {
      spdlog::log(std::exchange(failure_logged_, true) ? spdlog::level::debug : spdlog::level::err,
                  "host_info.json could not be written, trying again every {} s: {}", kPause.count(), error.what());
    }
    return false;
  }
}

}  // namespace dstack::shim
