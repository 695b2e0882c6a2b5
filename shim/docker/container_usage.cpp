#include "shim/docker/container_usage.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace dstack::shim::docker {

namespace {

using nlohmann::json;

std::optional<std::uint64_t> number_at(const json& answer, const json::json_pointer& path) {
  if (!answer.contains(path) || !answer.at(path).is_number_unsigned()) return std::nullopt;
  return answer.at(path).get<std::uint64_t>();
}

}  // namespace

std::optional<ContainerUsage> parse_usage(const json& answer) {
  const auto cpu = number_at(answer, json::json_pointer("/cpu_stats/cpu_usage/total_usage"));
  const auto memory = number_at(answer, json::json_pointer("/memory_stats/usage"));
  if (!cpu || !memory) return std::nullopt;
  // Version 1 of cgroups and version 2 name it differently.
  auto droppable = number_at(answer, json::json_pointer("/memory_stats/stats/total_inactive_file"));
  if (!droppable) droppable = number_at(answer, json::json_pointer("/memory_stats/stats/inactive_file"));
  return ContainerUsage{.cpu_nanoseconds = *cpu,
                        .memory = *memory - std::min(*memory, droppable.value_or(0)),
                        .memory_limit = number_at(answer, json::json_pointer("/memory_stats/limit")).value_or(0)};
}

}  // namespace dstack::shim::docker
