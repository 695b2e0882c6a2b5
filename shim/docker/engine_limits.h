#pragma once

#include <chrono>

namespace dstack::shim::docker {

// Of calls that the engine answers from memory, or nearly so.
constexpr std::chrono::milliseconds kQuickCall{30'000};
// Of calls that last as long as what they wait for.
constexpr std::chrono::milliseconds kUnboundedCall{0};

}  // namespace dstack::shim::docker
