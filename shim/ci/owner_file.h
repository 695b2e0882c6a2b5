#pragma once

#include <filesystem>

namespace dstack::shim::ci {

// The file in a drivers' folder whose lock keeps the job's tasks alive, absolute; empty if the folder has none.
std::filesystem::path owner_file(const std::filesystem::path& state);

}  // namespace dstack::shim::ci
