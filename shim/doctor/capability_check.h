#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "shim/doctor/check.h"

namespace dstack::shim::doctor {

// Whether the running shim, and a shim started from here, may do what a shim does.
Finding check_capabilities(const Host& host);

// The permitted set ("CapPrm") of /proc/PID/status; nothing if it is not there.
std::optional<std::uint64_t> permitted_capabilities(std::string_view status);

// `of_shim` is nothing if none runs, `own` nothing if this process is not root.
Finding judge_capabilities(std::optional<std::uint64_t> of_shim, std::optional<std::uint64_t> own);

}  // namespace dstack::shim::doctor
