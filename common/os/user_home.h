#pragma once

#include <filesystem>

namespace dstack::os {

// The home of the user whom this process runs as: HOME, which a system service may lack, else the user's entry.
std::filesystem::path user_home();

}  // namespace dstack::os
