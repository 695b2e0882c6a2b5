#include "shim/ci/infer.h"

#include <algorithm>
#include <array>
#include <format>
#include <vector>

#include "common/command_error.h"
#include "common/exit_status.h"
#include "common/os/command.h"
#include "common/text/split.h"
#include "common/text/trim.h"
#include "shim/ci/requests.h"

namespace dstack::shim::ci {

namespace {

constexpr const char* kGitLab = "gitlab";
constexpr const char* kGitHub = "github";

std::string value_of(const Variables& variables, const char* name) {
  const char* value = variables(name);
  return value == nullptr ? std::string() : std::string(text::trim(value));
}

// An API answers there, with or without a token.
bool answers(Requests& requests, const std::string& path, const Patience& patience, std::string& trouble) {
  try {
    const auto answer = requests.ask("GET", path, "", patience);
    return answer.status == 200 || answer.status == 401;
  } catch (const std::exception& error) {
    if (error_kind(error) == ErrorKind::cancelled) throw;
    trouble = error.what();
    return false;
  }
}

// Every path that the CI itself may be below: "", "/a", "/a/b" of "a/b/c".
std::vector<std::string> prefixes_of(const std::string& path) {
  std::vector<std::string> prefixes;
  std::string prefix;
  for (const std::string_view folder : text::split(path, '/')) {
    prefixes.push_back(prefix);
    prefix += std::format("/{}", folder);
  }
  return prefixes;
}

}  // namespace

Secret infer_token(const Secret& given, const Variables& variables) {
  if (!given.empty()) return given;
  for (const char* name : {"REPO_TOKEN", "repo_token", "GITHUB_TOKEN", "GITLAB_TOKEN"}) {
    if (std::string value = value_of(variables, name); !value.empty()) return Secret(std::move(value));
  }
  throw CommandError(exit_status::kBadFlag, "no token: give --token, or set REPO_TOKEN");
}

Repository infer_repository(const std::string& given, const Variables& variables,
                            const std::function<std::string()>& git_origin) {
  const auto parsed = [](const std::string& source, const std::string& text) {
    auto repository = parse_repository(text);
    if (!repository) {
      throw CommandError(exit_status::kBadFlag, std::format("{}: not the URL of a repository, group or "
                                                            "organisation; give one with --repo",
                                                            source));
    }
    return *std::move(repository);
  };
  if (!given.empty()) return parsed("--repo", given);
  if (const auto url = value_of(variables, "CI_PROJECT_URL"); !url.empty()) return parsed("CI_PROJECT_URL", url);
  const auto server = value_of(variables, "GITHUB_SERVER_URL");
  const auto name = value_of(variables, "GITHUB_REPOSITORY");
  if (!server.empty() && !name.empty()) return parsed("GITHUB_REPOSITORY", server + "/" + name);
  if (const auto origin = git_origin(); !origin.empty()) return parsed("the origin of the git folder", origin);
  throw CommandError(exit_status::kBadFlag, "no repository: give its URL with --repo");
}

std::optional<std::string> infer_driver(const std::string& given, const Repository& repository,
                                        const Variables& variables) {
  if (!given.empty()) return given;
  if (repository.host == "github.com" || repository.host.ends_with(".ghe.com")) return kGitHub;
  if (repository.host == "gitlab.com") return kGitLab;
  if (!value_of(variables, "GITHUB_REPOSITORY").empty()) return kGitHub;
  if (!value_of(variables, "CI_PROJECT_URL").empty()) return kGitLab;
  return std::nullopt;
}

std::string git_origin() {
  try {
    const auto result = os::run_command({.arguments = {"git", "config", "--get", "remote.origin.url"}});
    return result.succeeded() ? std::string(text::trim(result.output)) : std::string();
  } catch (const std::exception&) {  // no git here
    return {};
  }
}

Target find_target(const Repository& repository, const std::optional<std::string>& driver, os::Clock& clock,
                   const Patience& patience) {
  if (driver == kGitHub) return {.driver = kGitHub, .base_url = repository.origin, .path = repository.path};
  if (repository.host == "gitlab.com")
    return {.driver = kGitLab, .base_url = repository.origin, .path = repository.path};
  Requests requests(repository.origin, "", {}, clock);
  const Patience once{.stop = patience.stop};
  std::string trouble;
  for (const std::string& prefix : prefixes_of(repository.path)) {
    if (!answers(requests, prefix + "/api/v4/version", driver ? patience : once, trouble)) continue;
    return {.driver = kGitLab,
            .base_url = repository.origin + prefix,
            .path = prefix.empty() ? repository.path : repository.path.substr(prefix.size())};
  }
  if (!driver && answers(requests, "/api/v3/meta", once, trouble))
    return {.driver = kGitHub, .base_url = repository.origin, .path = repository.path};
  const std::string why = trouble.empty() ? std::string() : ": " + trouble;
  if (driver) throw Error(ErrorKind::unavailable, std::format("no GitLab answers at {}{}", repository.origin, why));
  throw Error(ErrorKind::unavailable,
              std::format("neither GitLab nor GitHub answers at {}: give the kind of CI with --driver{}",
                          repository.origin, why));
}

}  // namespace dstack::shim::ci
