#pragma once

#include <string_view>
#include <vector>

#include "shim/client/shim_api.h"

namespace dstack::shim::client {

// The task that a person means: by its id, else by its name, else by a prefix of its id that no other has. Throws Error
// (not_found) for none, and (conflict) that lists them for several.
const TaskEntry& find_task(const std::vector<TaskEntry>& tasks, std::string_view wanted);

// How much of an id is enough to tell it from the others: 8 characters or as many more as it takes.
std::size_t short_length(const std::vector<TaskEntry>& tasks, std::string_view id);

}  // namespace dstack::shim::client
