#pragma once

#include <filesystem>

namespace dstack::shim::ci {

// The file of the running program. One that was replaced since is named by a link that works while this process lives.
std::filesystem::path own_program();

}  // namespace dstack::shim::ci
