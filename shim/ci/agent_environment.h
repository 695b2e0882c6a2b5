#pragma once

#include <string>
#include <vector>

namespace dstack::shim::ci {

// This process's variables without those of a CI step, a cloud or a dstack server: an agent hands what it has on to
// jobs on the host. NAME=value.
std::vector<std::string> agent_environment(char* const* environment);
// The same for an own shim, which is set up by variables of its own.
std::vector<std::string> shim_environment(char* const* environment);

}  // namespace dstack::shim::ci
