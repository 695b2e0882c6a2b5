#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>

namespace dstack::shim::docker {

// What a container has used, as `docker stats` counts it.
struct ContainerUsage {
  std::uint64_t cpu_nanoseconds = 0;  // of all its processes since its start
  std::uint64_t memory = 0;           // bytes, without file pages that can be dropped
  std::uint64_t memory_limit = 0;     // bytes; the host's memory where it has none
};

// From the engine's answer about a container's statistics; nothing for a container that does not run.
std::optional<ContainerUsage> parse_usage(const nlohmann::json& answer);

}  // namespace dstack::shim::docker
