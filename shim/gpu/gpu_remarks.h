#pragma once

#include <filesystem>
#include <set>
#include <stop_token>
#include <string>

#include "common/os/clock.h"
#include "shim/gpu/gpu_status.h"

namespace dstack::shim::gpu {

// What is worth a line in the log and no reason to set an NVIDIA GPU aside: that it is slowed down by heat, and that a
// process of no container holds its memory. Each is logged once, until it is over. For one thread.
class GpuRemarks {
 public:
  // `root` is where /proc is, and on WSL the tool.
  GpuRemarks(std::filesystem::path root, os::Clock& clock) : root_(std::move(root)), clock_(clock) {}

  // Asks nvidia-smi. Does not throw.
  void look(const std::stop_token& stop);

 private:
  std::string ask(std::vector<std::string> query, const std::stop_token& stop) const;
  void take_hot(std::set<std::string> hot);
  void take_processes(const std::vector<GpuProcess>& processes);
  bool is_in_container(int pid) const;

  const std::filesystem::path root_;
  os::Clock& clock_;
  std::set<std::string> hot_;
  std::set<std::pair<std::string, int>> outside_;  // GPUs' ids and processes
};

}  // namespace dstack::shim::gpu
