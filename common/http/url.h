#pragma once

#include <optional>
#include <string>

namespace dstack::http {

// An absolute URL, by libcurl's own reading of it, so that what is checked here is what a Client connects to.
struct Url {
  std::string scheme;  // in lower case
  std::string host;    // in lower case; an IPv6 address without its brackets
  std::string base;    // "https://user:password@host:port": what comes before the path
  std::string path;    // with the query, at least "/"
};

// Nothing if it is not an absolute http or https URL.
std::optional<Url> parse_url(const std::string& text);

// The absolute URL that `location` leads to from `base` (RFC 3986, 5); nothing if either is malformed.
std::optional<std::string> resolve_url(const std::string& base, const std::string& location);

// Whether its host is this machine by its address or as localhost. A URL that cannot be parsed is not.
bool is_loopback_url(const std::string& text);

}  // namespace dstack::http
