#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace dstack::json {

// For what another program sends and may leave out; a request's fields are read by ObjectReader, which complains.

// The member, or null where `object` is not an object or lacks it.
const nlohmann::json& member(const nlohmann::json& object, std::string_view name);

// The member if it is a string, otherwise "".
std::string text_member(const nlohmann::json& object, std::string_view name);

// Whether the member is there and true.
bool true_member(const nlohmann::json& object, std::string_view name);

}  // namespace dstack::json
