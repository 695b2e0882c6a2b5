#pragma once

#include "shim/doctor/check.h"

namespace dstack::shim::doctor {

// The kernel's limits on watched and open files, and those of the running shim.
Finding check_limits(const Host& host);

// File systems that forbid to run programs, where the runner has to run.
Finding check_noexec(const Host& host);

// Whether the host reaches anything by IPv4, which is all that containers in the bridge network have.
Finding check_network(const Host& host);

}  // namespace dstack::shim::doctor
