#include "shim/gpu/detect.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <condition_variable>
#include <format>
#include <mutex>
#include <thread>

#include "common/error.h"
#include "shim/gpu/amd.h"
#include "shim/gpu/intel.h"
#include "shim/gpu/nvidia.h"
#include "shim/gpu/tenstorrent.h"
#include "shim/gpu/tool_container.h"

namespace dstack::shim::gpu {

namespace {

// For all that a container takes: the pull, two runs, the removal.
constexpr std::chrono::minutes container_limit{2};

// Stops whoever has the token at a moment, unless this ends before.
class Deadline {
 public:
  Deadline(std::chrono::nanoseconds limit, os::Clock& clock)
      : thread_([this, limit, &clock](const std::stop_token& ended) {
          if (os::pause(clock, limit, ended)) source_.request_stop();
        }) {}

  std::stop_token token() const { return source_.get_token(); }

 private:
  std::stop_source source_;
  std::jthread thread_;
};

template <typename Detect>
Inventory in_container(docker::EngineClient& engine, os::Clock& clock, Detect detect_vendor_gpus) {
  const Deadline deadline(container_limit, clock);
  try {
    remove_old_tool_containers(engine, deadline.token());
    return detect_vendor_gpus(deadline.token());
  } catch (const std::exception& error) {
    if (!deadline.token().stop_requested()) throw;
    throw Error(ErrorKind::timed_out, std::format("not done within {} min: {}", container_limit.count(), error.what()));
  }
}

Inventory detect_of(Vendor vendor, docker::EngineClient& engine, docker::ImagePuller& puller,
                    const std::filesystem::path& root, os::Clock& clock) {
  switch (vendor) {
    case Vendor::none: return {};
    case Vendor::nvidia: return detect_nvidia(root, clock);
    case Vendor::intel: return detect_intel(clock);
    case Vendor::amd:
      return in_container(engine, clock,
                          [&](const std::stop_token& stop) { return detect_amd(engine, puller, root, stop); });
    case Vendor::tenstorrent:
      return in_container(engine, clock,
                          [&](const std::stop_token& stop) { return detect_tenstorrent(engine, puller, root, stop); });
  }
  return {};
}

}  // namespace

Inventory detect(docker::EngineClient& engine, docker::ImagePuller& puller, const std::filesystem::path& root,
                 os::Clock& clock) {
  const Vendor vendor = dstack::gpu::detect_vendor(root);
  try {
    Inventory inventory = detect_of(vendor, engine, puller, root, clock);
    if (vendor == Vendor::none) return inventory;
    spdlog::info("{} GPUs: {} {}, {} MiB, driver {}", inventory.gpus.size(), dstack::gpu::name_of(vendor),
                 printable(name_of_gpus(inventory)), memory_of_gpus(inventory),
                 inventory.driver_version.empty() ? "unknown" : inventory.driver_version);
    return inventory;
  } catch (const std::exception& error) {
    spdlog::error("detect the GPUs of this host ({}): {}; it counts as having none", dstack::gpu::name_of(vendor),
                  error.what());
    return {.failure = error.what()};
  }
}

}  // namespace dstack::shim::gpu
