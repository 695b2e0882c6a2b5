#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shim/docker/engine_types.h"

namespace dstack::shim::docker {

// The engine's answers as our structs. A field that is absent or of another type than expected is left at its default:
// engines differ in what they say, and what cannot be done without is checked where it is needed.

// Throws Error (unavailable) if `body` is no JSON; `attempt` begins the message.
nlohmann::json parse_answer(const std::string& attempt, std::string_view body);

// An engine's text on one line: a run of blanks, line breaks and control characters becomes one space. Cut at 2000
// bytes.
std::string one_line(std::string_view text);

// The engine's own message in the body of an error, or what there is of the body; on one line.
std::string engine_message(std::string_view body);

EngineInfo parse_info(const nlohmann::json& answer);
ContainerDetails parse_details(const nlohmann::json& answer);
std::vector<ContainerSummary> parse_list(const nlohmann::json& answer);
ImageDetails parse_image(const nlohmann::json& answer);
// A network or a volume, and a list of either.
EngineResource parse_resource(const nlohmann::json& answer);
std::vector<EngineResource> parse_resources(const nlohmann::json& list);

// Nothing for a line that is not the making, the end or the removal of a container.
std::optional<ContainerEvent> parse_event(std::string_view line);

// Joins what the engine sends of a container's output: frames of eight bytes and a piece of stdout or stderr, or the
// bytes alone where the container has a terminal. An incomplete frame at the end is taken as far as it goes.
std::string join_output(std::string_view raw, bool tty);

// The same for a container without a terminal, its streams apart.
ContainerOutput split_output(std::string_view raw);

}  // namespace dstack::shim::docker
