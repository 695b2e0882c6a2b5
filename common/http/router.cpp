#include "common/http/router.h"

#include <utility>

#include "common/text/split.h"

namespace dstack::http {

namespace {

bool is_parameter(const std::string& segment) { return segment.size() > 2 && segment.front() == '{'; }

}  // namespace

std::size_t Router::add(std::string method, const std::string& pattern) {
  const auto segments = text::split(pattern, '/');
  entries_.push_back({.method = std::move(method), .segments = {segments.begin(), segments.end()}});
  return entries_.size() - 1;
}

Router::Result Router::find(std::string_view method, std::string_view path) const {
  // A HEAD is answered as its GET would be, less the body.
  if (method == "HEAD") method = "GET";
  const std::vector<std::string_view> segments = text::split(path, '/');
  Result result;
  for (std::size_t index = 0; index < entries_.size(); ++index) {
    const Entry& entry = entries_[index];
    if (entry.segments.size() != segments.size()) continue;
    Match match{.route = index, .parameters = {}};
    bool same = true;
    for (std::size_t i = 0; i < segments.size() && same; ++i) {
      const std::string& expected = entry.segments[i];
      if (is_parameter(expected)) {
        same = !segments[i].empty();
        match.parameters[expected.substr(1, expected.size() - 2)] = segments[i];
      } else {
        same = expected == segments[i];
      }
    }
    if (!same) continue;
    if (entry.method == method) {
      result.match = std::move(match);
      return result;
    }
    result.miss = Miss::wrong_method;
    result.allowed += (result.allowed.empty() ? "" : ", ") + entry.method;
  }
  return result;
}

}  // namespace dstack::http
