#pragma once

#include <functional>

#include "common/os/clock.h"
#include "shim/ci/ci.h"

namespace dstack::shim::ci {

// What `add` returns. A runner may have been made although the answer to that was lost, with the only copy of its
// token: then `remove` deletes it, and `add` is called again, with growing pauses, for as long as `patience` says.
// Throws what they throw; a CiFailure is an answer.
Registration add_until_answered(os::Clock& clock, const Patience& patience, const std::function<Registration()>& add,
                                const std::function<void(const Patience&)>& remove);

}  // namespace dstack::shim::ci
