#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "runner/join/places.h"

namespace dstack::runner::join {

// Restarts dstack-shim.service if the shim that runs is another program than the one in place, and no task is on its
// way to its container: a restart would end it. False if it has to be looked at again. What goes wrong is logged.
bool restart_other_shim(const Places& places);

// Where the program of the shim that was started from `file` and answers at that URL can be read, replaced or not.
// Others that were started from there may be commands of a person's. Nothing if none runs.
std::optional<std::filesystem::path> running_program(const std::filesystem::path& file, const std::string& shim_api,
                                                     const std::filesystem::path& proc = "/proc");

// Whether a task of the shim that answers at this URL is on its way to its container. Throws Error if it does not
// answer.
bool is_task_starting(const std::string& shim_api);

}  // namespace dstack::runner::join
