#pragma once

#include <chrono>
#include <string>

namespace dstack::shim::ci {

// Terminates and removes all tasks of a launcher's own shim. False, with the problem, if that takes longer than `limit`
// or something could not be removed.
bool end_tasks(int shim_port, std::chrono::seconds limit, std::string& problem);

}  // namespace dstack::shim::ci
