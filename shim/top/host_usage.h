#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "shim/top/snapshot.h"

namespace dstack::shim::top {

// What all cores together have done since the host started, in the kernel's ticks.
struct CpuTicks {
  std::uint64_t busy = 0;
  std::uint64_t total = 0;
};

// `root` stands for / in tests. Nothing where the file cannot be read.
std::optional<CpuTicks> read_cpu_ticks(const std::filesystem::path& root = "/");
std::optional<Memory> read_memory(const std::filesystem::path& root = "/");
std::optional<Memory> read_disk(const std::filesystem::path& folder);

// Percent of all cores between two looks; nothing if no time has passed.
std::optional<double> cpu_percent(const CpuTicks& before, const CpuTicks& now);

}  // namespace dstack::shim::top
