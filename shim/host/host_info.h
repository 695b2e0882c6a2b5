#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "shim/host/resources.h"

namespace dstack::shim::host {

struct GpuSummary {
  std::string vendor = "none";
  std::string name;
  std::int64_t memory = 0;  // MiB, of one
  int count = 0;
};

// Writes <home>/host_info.json, which a server reads once over SSH. A file that is there is left alone.
// Throws Error.
void write_host_info(const std::filesystem::path& home, const Resources& resources, const GpuSummary& gpus);

}  // namespace dstack::shim::host
