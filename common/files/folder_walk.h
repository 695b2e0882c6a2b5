#pragma once

#include <string>
#include <string_view>

#include "common/os/unique_fd.h"

namespace dstack::files {

// How a path below a folder is followed without a link on the way: in one system call where the kernel and the
// container's profile allow openat2(2), else component by component.
enum class Walk { by_kernel, by_component };

// What this machine allows. Asked once.
Walk best_walk();

// The folder `path` (as entry_path() gives it) below `root`, opened for use with the *at calls. Where a component is a
// link or anything else than a folder, or missing, the answer is not valid and errno says why.
os::UniqueFd open_folder_below(int root, const std::string& path, Walk walk);

}  // namespace dstack::files
