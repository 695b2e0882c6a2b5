#pragma once

#include <filesystem>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "common/os/clock.h"
#include "shim/gpu/gpu_status.h"
#include "shim/gpu/remarks.h"

namespace dstack::shim::gpu {

// Asks nvidia-smi which GPUs are slowed down by heat, and which processes of no container hold their memory. Each is
// logged once, until it is over. For one thread.
class GpuRemarks {
 public:
  // `root` is where /proc is, and on WSL the tool.
  GpuRemarks(std::filesystem::path root, os::Clock& clock) : root_(std::move(root)), clock_(clock) {}

  // Does not throw; if nvidia-smi cannot be asked, what was seen before stays.
  void look(const std::stop_token& stop);
  const Remarks& seen() const { return seen_; }
  // If found, nothing is known of heat and processes.
  void set_driver_mismatch(bool found);

 private:
  std::string ask(std::vector<std::string> query, const std::stop_token& stop) const;
  void take_hot(std::set<std::string> hot);
  void take_processes(const std::vector<GpuProcess>& processes);
  bool is_in_container(int pid) const;

  const std::filesystem::path root_;
  os::Clock& clock_;
  Remarks seen_;
};

}  // namespace dstack::shim::gpu
