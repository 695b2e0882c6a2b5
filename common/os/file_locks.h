#pragma once

#include <filesystem>

namespace dstack::os {

// Whether some process holds a lock on the file, flock(2) or fcntl(2), by the kernel's list of locks; looking takes
// none. False for a file that is not there. A process that waits for a lock holds none. `proc` is where /proc is.
bool is_locked(const std::filesystem::path& file, const std::filesystem::path& proc = "/proc");

}  // namespace dstack::os
