#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace dstack::shim::ci::github {

// Values as Docker's command line takes them; nothing for any other text.

// "1.5", "2", ".5".
std::optional<double> parse_docker_decimal(std::string_view text);

// Bytes of "512m", "1.5g", "2GB", "100".
std::optional<std::uint64_t> parse_docker_size(std::string_view text);

// Seconds of "10s", "1m30s", "500ms", "1.5h", "0".
std::optional<double> parse_docker_duration(std::string_view text);

}  // namespace dstack::shim::ci::github
