#include "common/server_api/answer.h"
#include "common/json/dump.h"

#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/member.h"

namespace dstack::server_api {

using nlohmann::json;

namespace {

constexpr std::size_t kMessageLimit = 1000;

// Foreign text in a message: what could move a cursor or break the line is escaped.
std::string one_line(std::string_view text) {
  const std::string quoted = printable(text, kMessageLimit);
  std::string plain;
  // printable() escapes quotes for its own.
  for (std::size_t i = 1; i + 1 < quoted.size(); ++i) {
    if (quoted[i] == '\\' && quoted[i + 1] == '"') continue;
    plain += quoted[i];
  }
  return plain;
}

// ["body", "plan", "spec"] → "plan.spec"
std::string field_of(const json& item) {
  std::string name;
  const auto location = item.find("loc");
  if (location == item.end() || !location->is_array()) return name;
  for (const json& part : *location) {
    if (part == "body") continue;
    if (!name.empty()) name += '.';
    name += part.is_string() ? part.get<std::string>() : dstack::json::dump(part);
  }
  return name;
}

void add_item(ServerError& error, const json& item) {
  if (!item.is_object()) return;
  std::string message = one_line(dstack::json::text_member(item, "msg"));
  if (const std::string field = field_of(item); !field.empty())
    message = std::format("{}: {}", one_line(field), message);
  if (message.empty()) return;
  error.message += (error.message.empty() ? "" : "; ") + message;
  if (error.code.empty()) error.code = dstack::json::text_member(item, "code");
}

}  // namespace

ServerError read_error(std::string_view body) {
  ServerError error;
  const json answer = json::parse(body, nullptr, false);
  if (!answer.is_object()) return error;
  const auto detail = answer.find("detail");
  if (detail == answer.end()) {
    add_item(error, answer);
  } else if (detail->is_string()) {
    error.message = one_line(detail->get<std::string>());
  } else if (detail->is_array()) {
    for (const json& item : *detail) add_item(error, item);
  } else {
    add_item(error, *detail);
  }
  return error;
}

}  // namespace dstack::server_api
