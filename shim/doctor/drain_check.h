#pragma once

#include "shim/doctor/check.h"

namespace dstack::shim::doctor {

// Whether the running shim takes new tasks.
Finding check_drain(const Host& host);

}  // namespace dstack::shim::doctor
