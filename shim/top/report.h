#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "shim/top/snapshot.h"

namespace dstack::shim::top {

enum class Order { age, cpu, memory, gpu, name };

// Running tasks first, then by the order; ended ones last.
void sort_tasks(std::vector<TaskRow>& tasks, Order order);

// One snapshot as text, everything whole: `top --once`.
std::string as_text(const Snapshot& snapshot);

// The same for a program: {"at", "host", "problem", "cpu_percent", "memory": {"used", "total"}, "disk", "tasks": […],
// "gpus": […]}; what is not known is null.
nlohmann::json as_json(const Snapshot& snapshot);

}  // namespace dstack::shim::top
