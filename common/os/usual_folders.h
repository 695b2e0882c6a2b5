#pragma once

#include <string_view>

namespace dstack::os {

// The PATH of a program in a container that has none.
inline constexpr std::string_view kUsualFolders = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

}  // namespace dstack::os
