#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/child_process.h"
#include "common/os/clock.h"

// How the vendors' tools write what they know.
namespace dstack::shim::gpu {

// More than any host has: a tool that lists more lists something else.
inline constexpr std::size_t gpu_limit = 1024;

// Runs a tool of the driver, which may first have to wake eight GPUs. Throws Error (unavailable) unless it succeeds, in
// time and with an output of a sensible length; not_found if it is not installed.
std::string run_driver_tool(std::vector<std::string> arguments, os::Clock& clock);

std::string_view trim(std::string_view text);

// The fields of one line of "--format=csv", without blanks around them. The tools quote nothing.
std::vector<std::string_view> csv_fields(std::string_view line);

// The lines of an output that are not blank. Throws Error (unavailable) if there are more than `gpu_limit`.
std::vector<std::string_view> lines_of(std::string_view output);

// A driver's version; empty for what the tools write in its place: "N/A", "[Not Supported]" …
std::string driver_version(std::string_view text);

// MiB of "81559", "81559 MiB", "80 GiB"; nothing for anything else.
std::optional<std::int64_t> parse_mebibytes(std::string_view text);

// The JSON in an output, which may be preceded by lines of warnings. Throws Error (unavailable) if there is none.
nlohmann::json parse_json(std::string_view output);

// A member of an object by its name in any letter case, which differs between versions; null if it is not there.
const nlohmann::json& member(const nlohmann::json& object, std::string_view name);

// A member that is a string, without blanks around it; empty if it is none.
std::string text_member(const nlohmann::json& object, std::string_view name);

}  // namespace dstack::shim::gpu
