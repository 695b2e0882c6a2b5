#pragma once

#include <filesystem>
#include <optional>

#include "runner/join/options.h"
#include "runner/join/state.h"

namespace dstack::runner::join {

// What `start` is to do: by its flags and settings, and by what an earlier one settled. Throws CommandError for what
// does not go together.
State settle(const StartOptions& options, const server_api::Settings& settings, const std::optional<State>& before);

// Whether anything is settled in another way; not what the host was before.
bool differs(const State& one, const State& other);

// The file of this process.
std::filesystem::path own_program();

}  // namespace dstack::runner::join
