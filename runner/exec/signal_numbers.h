#pragma once

#include <optional>
#include <string_view>

namespace dstack::runner::exec {

// The number of a signal by its name, "SIGINT"; nothing for a name that no signal has.
std::optional<int> signal_number(std::string_view name);

}  // namespace dstack::runner::exec
