#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace dstack::json {

// A value as text. Strings that are not UTF-8 (an argument, a file name, an engine's message) get replacement
// characters; nlohmann's own dump() throws for them. With `ascii`, other characters are written as \u….
inline std::string dump(const nlohmann::json& value, int indent = -1, bool ascii = false) {
  return value.dump(indent, ' ', ascii, nlohmann::json::error_handler_t::replace);
}

}  // namespace dstack::json
