#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace dstack::shim::gpu {

// A process of no container that holds memory of a GPU.
struct OutsideProcess {
  std::string gpu_id;
  int pid = 0;
  std::string name;         // empty if that is not known
  std::int64_t memory = 0;  // MiB; 0 if that is not known

  friend bool operator==(const OutsideProcess&, const OutsideProcess&) = default;
};

// What was last seen of NVIDIA's GPUs that is no reason to set one aside.
struct Remarks {
  std::set<std::string> hot;  // ids of GPUs that are slowed down by heat
  std::vector<OutsideProcess> outside;
  bool driver_mismatch = false;  // nvidia-smi says that the driver's module and library are of different versions
};

}  // namespace dstack::shim::gpu
