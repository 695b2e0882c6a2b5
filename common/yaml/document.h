#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace dstack::yaml {

// What a YAML document says, as JSON. A scalar is a string exactly as it stands, so that a token of digits stays a
// token; a plain null ("", "~", "null") is null. Of several values of one key the last counts. Aliases are followed. An
// empty document is null. `what` names the text in messages. Throws Error (invalid) with the line for what is not YAML,
// has a key that is not a string, or is not a document of 10,000 nodes and 50 levels at most.
nlohmann::json parse(std::string_view text, std::string_view what);

// The top-level mapping of `text` with these keys set, or taken out where there is no value. Other keys keep their
// values and style; comments are lost. An empty text is an empty mapping. Throws Error as parse does, and for a
// document that is not a mapping.
std::string with_values(std::string_view text, const std::map<std::string, std::optional<std::string>>& values,
                        std::string_view what);

}  // namespace dstack::yaml
