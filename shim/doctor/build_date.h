#pragma once

#include <optional>

#include "common/os/clock.h"

namespace dstack::shim::doctor {

// The date of what this was built from: no machine's clock that is right can be before it. Nothing if it was not built
// from a git checkout.
std::optional<os::WallTime> build_date();

}  // namespace dstack::shim::doctor
