#pragma once

#include "shim/doctor/check.h"

namespace dstack::shim::doctor {

// How many layers Docker downloads at once, of all pulls together: by the options of the running dockerd and by its
// configuration file.
Finding check_downloads(const Host& host);

}  // namespace dstack::shim::doctor
