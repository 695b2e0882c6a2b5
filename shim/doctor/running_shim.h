#pragma once

#include "shim/doctor/check.h"

namespace dstack::shim::doctor {

// Asks the shim on the host's port for its settings, and takes them over: what matters is what that shim uses, not what
// this command would. Nothing changes if no shim answers within 3 s, or an older one that cannot say.
void take_settings_of_running_shim(Host& host);

}  // namespace dstack::shim::doctor
