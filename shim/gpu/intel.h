#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/os/clock.h"
#include "shim/docker/container_spec.h"
#include "shim/gpu/inventory.h"

namespace dstack::shim::gpu {

// `hl-smi --query-aip=name,memory.total,index --format=csv,noheader,nounits`: Gaudi accelerators. Throws Error
// (unavailable) that quotes the line for whatever is not one.
Inventory parse_hl_smi(std::string_view output);

// Throws Error if hl-smi is absent, fails or prints nonsense.
Inventory detect_intel(os::Clock& clock = os::system_clock());

// Habana's runtime finds the devices by their indices.
docker::GpuSettings intel_settings(const std::vector<std::string>& ids);

// The indices in a variable that intel_settings made; empty for any other.
std::vector<std::string> intel_ids(std::string_view variable);

}  // namespace dstack::shim::gpu
