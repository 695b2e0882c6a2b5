#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "shim/top/snapshot.h"

namespace dstack::shim::top {

// What nvidia-smi prints for the query of ask_gpus(): a GPU a line. A field that is not a number is missing, a line
// that names no GPU is left out.
std::vector<GpuRow> parse_nvidia_usage(std::string_view output);

// The same of hl-smi, for Intel Gaudi.
std::vector<GpuRow> parse_gaudi_usage(std::string_view output);

// Asks the tool of the vendor whose GPUs this host has. Empty on a host without GPUs, and for vendors whose tool runs
// in a container. Throws Error if the tool fails or takes over 5 s.
std::vector<GpuRow> ask_gpus(const std::filesystem::path& root = "/");

}  // namespace dstack::shim::top
