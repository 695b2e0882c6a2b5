#pragma once

#include <filesystem>
#include <optional>

#include "common/os/unique_fd.h"

namespace dstack::shim::task {

// Opens a file that lies where a container can put anything: nothing if it is not there, Error (conflict) if it is not
// a plain file, which is found out before it is opened, since opening a device may do something. Throws Error.
std::optional<os::UniqueFd> open_plain_file(const std::filesystem::path& path);

}  // namespace dstack::shim::task
