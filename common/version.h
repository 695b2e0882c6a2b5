#pragma once

#include <string_view>

namespace dstack {

// The release this build matches, "latest" unless the build was told another one. A server decides by it
// whether to replace the binary, so it is never a numbering of our own.
std::string_view version();

}  // namespace dstack
