#pragma once

#include <string>

namespace dstack::runner::join {

// As the kernel has it. Throws Error.
std::string host_name();

}  // namespace dstack::runner::join
