#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "shim/client/exec_frames.h"

namespace dstack::shim::ci {

// An id for a program in a held container that no other process of this job takes: "1234-build_script".
std::string program_id(std::string_view name);

// Writes what a program wrote on the same stream of this process. Throws Error.
void pass_on(client::Stream stream, std::string_view piece);

// The exit status of a program, as a shell reports it; says on stderr that it ran out of memory, of which its container
// had `memory` bytes (0: no limit).
int report_end(const client::ProgramEnd& end, std::uint64_t memory);

}  // namespace dstack::shim::ci
