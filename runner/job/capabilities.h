#pragma once

#include "common/os/capabilities.h"

namespace dstack::runner::job {

using os::Capability;
using os::has_capability;

// Whether the job can run as somebody else: SETUID, SETGID and CHOWN.
bool can_change_user();
bool can_give_away_files();

}  // namespace dstack::runner::job
