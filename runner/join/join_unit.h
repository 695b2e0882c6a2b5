#pragma once

#include "runner/join/places.h"

namespace dstack::runner::join {

inline constexpr const char* kJoinUnit = "dstack-join.service";

// Writes the agent's unit, if it is not there as it should be, and has systemd read it. Whether it did. Throws Error.
bool write_join_unit(const Places& places);

}  // namespace dstack::runner::join
