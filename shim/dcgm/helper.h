#pragma once

#include <optional>

// A program that this very executable is as well: it starts itself again under this name, so that NVIDIA's code runs in
// a process that may hang or crash.
namespace dstack::shim::dcgm {

// `dstack-shim dcgm-health [ADDRESS]`: for each line on its standard input one look at the GPUs' health, answered by
// one line of JSON: {"health": …} or {"error": "…"}. What keeps it from working at all is told the same way, once,
// before it exits with status 1. It ends with its input.
inline constexpr const char* health_command = "dcgm-health";

// Runs what the command line asks for; its exit status. Nothing if it asks for something else.
std::optional<int> run_helper(int argc, const char* const* argv);

}  // namespace dstack::shim::dcgm
