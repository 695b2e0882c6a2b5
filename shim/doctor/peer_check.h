#pragma once

#include "shim/doctor/check.h"
#include "shim/host/peer_look_up.h"

namespace dstack::shim::doctor {

// Whether the shim can tell a caller in a task's container from others.
Finding check_peer_look_up(const Host& host);

Finding judge_peer_look_up(const host::PeerLookUp& look_up, bool turned_off);

}  // namespace dstack::shim::doctor
