#pragma once

#include <string>

namespace dstack::os {

// The kernel's id of the present boot of this host; another one after every restart. Empty if it cannot be read.
std::string boot_id();

}  // namespace dstack::os
