#pragma once

#include <filesystem>
#include <stop_token>
#include <thread>

#include "common/os/clock.h"
#include "shim/docker/engine_client.h"
#include "shim/docker/image_pull.h"
#include "shim/gpu/host_gpus.h"

namespace dstack::shim {

// Detects the GPUs of this host on a thread of its own, so that a tool that takes long or hangs keeps nothing else
// waiting. Once they are known, host_info.json is written, which a server waits for. On a host without device nodes
// both are done when the constructor returns.
class GpuDetection {
 public:
  struct Services {
    docker::EngineClient& engine;
    docker::ImagePuller& puller;
    gpu::HostGpus& gpus;
  };

  // `host_info_home` is where host_info.json is written; empty: it is not. Throws Error (exhausted).
  GpuDetection(Services services, std::filesystem::path host_info_home, std::filesystem::path root = "/",
               os::Clock& clock = os::system_clock());
  GpuDetection(const GpuDetection&) = delete;
  GpuDetection& operator=(const GpuDetection&) = delete;
  // Ends the detection, also one that hangs.
  ~GpuDetection() = default;

 private:
  void detect(const std::stop_token& stop);
  bool try_write_host_info(const std::stop_token& stop);

  const Services services_;
  const std::filesystem::path host_info_home_;
  const std::filesystem::path root_;
  os::Clock& clock_;
  bool failure_logged_ = false;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace dstack::shim
