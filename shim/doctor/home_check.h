#pragma once

#include "shim/doctor/check.h"

namespace dstack::shim::doctor {

// Whether the shim can write in its home, or make it: a disk may be read-only, since an error too, full, or not
// writable for this user. A file without a name is opened there, which leaves nothing behind.
Finding check_home(const Host& host);

}  // namespace dstack::shim::doctor
