#pragma once

#include <string>

namespace dstack::os {

// This machine's name, empty if it has none.
std::string host_name();

}  // namespace dstack::os
