#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace dstack::http {

// A request as a route sees it. Header names are looked up in any letter case.
struct Request {
  std::string method;
  std::string path;   // decoded, without the query
  std::string route;  // the pattern that matched, "/api/tasks/{id}"
  std::map<std::string, std::string, std::less<>> path_parameters;
  std::map<std::string, std::string, std::less<>> query;         // the first value of each name, decoded
  std::multimap<std::string, std::string, std::less<>> headers;  // names in lower case
  std::string body;                                              // empty on upload routes
  std::string peer_address;
  int peer_port = 0;
  std::string local_address;
  int local_port = 0;

  std::optional<std::string> header(std::string_view lower_case_name) const;
  // A number of the query, 0 if it is not there. Throws Error (invalid) that names it if it is there and is none.
  std::int64_t query_integer(std::string_view name) const;
};

// Takes a piece of a streamed answer; false when the client has gone. An empty piece only asks whether it has.
using BodySink = std::function<bool(std::string_view)>;

struct Response {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  // Where set, the body is what this writes, sent in chunks as it is made. It runs on the connection's thread after
  // the handler returned. An exception ends the connection.
  std::function<void(const BodySink&)> stream;

  static Response empty();
  static Response text(int status, std::string body);
  static Response json(const nlohmann::json& value);
};

}  // namespace dstack::http
