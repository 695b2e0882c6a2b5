#pragma once

#include "runner/join/places.h"
#include "runner/join/state.h"

namespace dstack::runner::join {

// Puts the host back: the agent's unit, the server's dstack-shim.service, shim.env, and the two lines of
// authorized_keys that came with joining are removed, and a unit that was there before comes back. `stop_agent` is
// false for the agent itself. What cannot be undone is an Error after everything else was; the state stays then, so
// that another try finds it.
void undo_joining(const Places& places, const State& state, bool stop_agent);

// Removes what leaving keeps for the next time: the host's id and keys, the configuration `config_file`, the copies of
// the programs, and ~/.ssh where joining made it. Throws Error.
void purge(const Places& places, const std::optional<State>& state, const std::filesystem::path& config_file);

// How the host is before it is changed.
Before look_before(const Places& places);

// Adds `key` to authorized_keys, if no line has it. Whether it did. Throws Error.
bool authorize(const Places& places, const std::string& key);
// The text of authorized_keys without the lines that came with joining: those with `key`, and those that a server has
// added and that are not among `before`.
std::string without_joining_lines(const std::string& text, const std::string& key,
                                  const std::vector<std::string>& before);

}  // namespace dstack::runner::join
