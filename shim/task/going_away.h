#pragma once

#include <filesystem>

namespace dstack::shim::task {

// Makes the file `going-away` in the work folder of the CI launcher that `path` lies in, by which it learns that the
// machine goes down. False if no launcher's folder is above `path`, or the file cannot be made (which is logged).
bool announce_end_to_launcher(const std::filesystem::path& path);

}  // namespace dstack::shim::task
