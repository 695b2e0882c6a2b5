#include "shim/gpu/detect.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <condition_variable>
#include <format>
#include <functional>
#include <mutex>
#include <thread>

#include "common/error.h"
#include "common/os/thread.h"
#include "shim/gpu/amd.h"
#include "shim/gpu/intel.h"
#include "shim/gpu/nvidia.h"
#include "shim/gpu/tenstorrent.h"
#include "shim/gpu/tool_container.h"

namespace dstack::shim::gpu {

namespace {

// For all that a container takes: the pull, two runs, the removal.
constexpr std::chrono::minutes kContainerLimit{2};

// Stops whoever has the token at a moment, unless this ends before, or as soon as `stop` is requested.
class Deadline {
 public:
  Deadline(std::chrono::nanoseconds limit, os::Clock& clock, const std::stop_token& stop)
      : on_stop_(stop, [this] { source_.request_stop(); }),
        thread_(os::start_thread<std::jthread>("limit a GPU tool's time",
                                               [this, limit, &clock](const std::stop_token& ended) {
                                                 if (os::pause(clock, limit, ended)) source_.request_stop();
                                               })) {}

  std::stop_token token() const { return source_.get_token(); }

 private:
  std::stop_source source_;
  std::stop_callback<std::function<void()>> on_stop_;
  std::jthread thread_;
};

template <typename Detect>
Inventory in_container(docker::EngineClient& engine, os::Clock& clock, const std::stop_token& stop,
                       Detect detect_vendor_gpus) {
  const Deadline deadline(kContainerLimit, clock, stop);
  try {
    remove_old_tool_containers(engine, deadline.token());
    return detect_vendor_gpus(deadline.token());
  } catch (const std::exception& error) {
    if (!deadline.token().stop_requested() || stop.stop_requested()) throw;
    throw Error(ErrorKind::timed_out, std::format("not done within {} min: {}", kContainerLimit.count(), error.what()));
  }
}

Inventory detect_of(Vendor vendor, docker::EngineClient& engine, docker::ImagePuller& puller,
                    const std::filesystem::path& root, os::Clock& clock, const std::stop_token& stop) {
  switch (vendor) {
    case Vendor::none: return {};
    case Vendor::nvidia: return detect_nvidia(root, clock, stop);
    case Vendor::intel: return detect_intel(clock, stop);
    case Vendor::amd:
      return in_container(engine, clock, stop,
                          [&](const std::stop_token& limited) { return detect_amd(engine, puller, root, limited); });
    case Vendor::tenstorrent:
      return in_container(engine, clock, stop, [&](const std::stop_token& limited) {
        return detect_tenstorrent(engine, puller, root, limited);
      });
  }
  return {};
}

}  // namespace

Inventory detect(docker::EngineClient& engine, docker::ImagePuller& puller, const std::filesystem::path& root,
                 os::Clock& clock, const std::stop_token& stop) {
  const Vendor vendor = dstack::gpu::detect_vendor(root);
  try {
    Inventory inventory = detect_of(vendor, engine, puller, root, clock, stop);
    if (vendor == Vendor::none) return inventory;
    spdlog::info("{} GPUs: {} {}, {} MiB, driver {}", inventory.gpus.size(), dstack::gpu::name_of(vendor),
                 printable(name_of_gpus(inventory)), memory_of_gpus(inventory),
                 inventory.driver_version.empty() ? "unknown" : inventory.driver_version);
    return inventory;
  } catch (const std::exception& error) {
    if (stop.stop_requested()) throw Error(ErrorKind::cancelled, error.what());
    if (error_kind(error) == ErrorKind::exhausted) throw;
    spdlog::error("detect the GPUs of this host ({}): {}; the host counts as having no GPUs",
                  dstack::gpu::name_of(vendor), error.what());
    return {.failure = error.what()};
  }
}

}  // namespace dstack::shim::gpu
