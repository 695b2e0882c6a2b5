#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dstack::runner::repo {

// A remote's address, taken apart. git's short form "user@host:path" is an ssh one.
struct Url {
  std::string scheme;  // in lower case
  std::string user;    // may be empty
  std::string host;    // in lower case
  std::string port;    // may be empty
  std::string path;    // begins with a slash but in the short form
  bool short_form = false;
};
// Nothing for a path, and for what is no address.
std::optional<Url> parse_url(std::string_view text);

// The address without what stands in it for logging in: before the host, or as a signature in the query.
std::string without_secrets(std::string_view text);

// What .gitmodules means by `text` in a repository that came from `parent`: "../other.git" is taken relative to it.
// Throws Error (invalid) for one that leads above the parent's host.
std::string resolve_submodule_url(std::string_view text, std::string_view parent);

}  // namespace dstack::runner::repo
