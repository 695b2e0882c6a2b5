#pragma once

#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/clock.h"
#include "shim/docker/container_spec.h"
#include "shim/gpu/inventory.h"

namespace dstack::shim::gpu {

// The Gaudi accelerators that `hl-smi --query-aip=name,memory.total,index --format=csv,noheader,nounits` names, row by
// row. Whatever else stands there is logged and passed over. A memory that is not a number is 0.
Inventory parse_hl_smi(std::string_view output);

// Throws Error if hl-smi is absent, hangs or names no accelerator.
Inventory detect_intel(os::Clock& clock = os::system_clock(), const std::stop_token& stop = {});

// Habana's runtime finds the devices by their indices.
docker::GpuSettings intel_settings(const std::vector<std::string>& ids);

// The indices in a variable that intel_settings made; empty for any other.
std::vector<std::string> intel_ids(std::string_view variable);

}  // namespace dstack::shim::gpu
