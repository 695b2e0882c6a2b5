#include "common/http/message.h"

#include <charconv>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"

namespace dstack::http {

std::optional<std::string> Request::header(std::string_view lower_case_name) const {
  const auto found = headers.find(lower_case_name);
  if (found == headers.end()) return std::nullopt;
  return found->second;
}

std::int64_t Request::query_integer(std::string_view name) const {
  const auto found = query.find(name);
  if (found == query.end()) return 0;
  const std::string& digits = found->second;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || end != digits.data() + digits.size())
    throw Error(ErrorKind::invalid, std::format("{}: expected a number, got {}", name, printable(digits)));
  return number;
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
  response.body = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return response;
}

}  // namespace dstack::http
