#include "common/http/message.h"

#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/text/number.h"

namespace dstack::http {

std::optional<std::string> Request::header(std::string_view lower_case_name) const {
  const auto found = headers.find(lower_case_name);
  if (found == headers.end()) return std::nullopt;
  return found->second;
}

std::int64_t Request::query_integer(std::string_view name) const {
  const auto found = query.find(name);
  if (found == query.end()) return 0;
  const auto number = text::parse_number<std::int64_t>(found->second);
  if (!number)
    throw Error(ErrorKind::invalid, std::format("{}: expected a number, got {}", name, printable(found->second)));
  return *number;
}

Response Response::empty() { return {}; }

Response Response::text(int status, std::string body) {
  Response response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

Response Response::json(const nlohmann::json& value) {
  Response response;
  response.content_type = "application/json";
  // A name or message may hold bytes that are not UTF-8; they must not turn an answer into a failure.
  response.body = dstack::json::dump(value);
  return response;
}

}  // namespace dstack::http
