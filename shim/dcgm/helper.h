#pragma once

#include <optional>

// Programs that this very executable is as well: it starts itself anew under these names, so that what NVIDIA's code
// does happens in a process that may be lost.
namespace dstack::shim::dcgm {

// `dstack-shim dcgm-health [ADDRESS]`: for each line on its standard input one look at the GPUs' health, answered by
// one line of JSON: {"health": …} or {"error": "…"}. What keeps it from working at all is told the same way, once,
// before it exits with status 1. It ends with its input.
inline constexpr const char* health_command = "dcgm-health";

// `dstack-shim with-parent PROGRAM ARGUMENTS…`: becomes that program, which the kernel kills when the thread that
// started it ends, however that comes about.
inline constexpr const char* with_parent_command = "with-parent";

// Runs what the command line asks for; its exit status. Nothing if it asks for neither of the two.
std::optional<int> run_helper(int argc, const char* const* argv);

}  // namespace dstack::shim::dcgm
