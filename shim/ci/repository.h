#pragma once

#include <optional>
#include <string>

namespace dstack::shim::ci {

// The address of a repository, a group or an organisation.
struct Repository {
  std::string origin;  // "https://gitlab.example.org:8443"
  std::string host;    // without a port, in lower case
  std::string path;    // "team/project", below a path that the CI itself may have

  std::string url() const { return origin + "/" + path; }
};

// An http or https URL, or what git takes for one over SSH ("git@host:team/project.git"). Credentials, a slash at the
// end and ".git" are cut off. Nothing for any other text.
std::optional<Repository> parse_repository(const std::string& text);

}  // namespace dstack::shim::ci
