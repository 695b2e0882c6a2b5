#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/os/clock.h"
#include "shim/client/shim_api.h"

namespace dstack::shim::client {

// The latest first.
void sort_tasks(std::vector<TaskEntry>& tasks);

// Its status, for a pull with how far it has come.
std::string status_text(const TaskEntry& task);

// The tasks, the latest first, under a line of headings. On a terminal of `width` columns ids are as short as can be
// and what is too wide loses the less telling end of it; without one everything is whole.
std::string task_table(std::vector<TaskEntry> tasks, std::optional<std::size_t> width, const os::Clock& clock);

// The same for programs: an array of objects, as docs/operating.md has it.
nlohmann::json task_list(std::vector<TaskEntry> tasks, const os::Clock& clock);

}  // namespace dstack::shim::client
