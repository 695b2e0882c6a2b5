#include "shim/ci/agent_environment.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace dstack::shim::ci {

namespace {

constexpr std::array<std::string_view, 10> kForeignPrefixes = {"RUNNER_", "ACTIONS_", "GITHUB_", "GITLAB_", "CI_",
                                                               "CML_",    "DSTACK_",  "AWS_",    "AZURE_",  "GOOGLE_"};
constexpr std::array<std::string_view, 2> kForeignNames = {"REPO_TOKEN", "repo_token"};
constexpr std::array<std::string_view, 4> kShimPrefixes = {"DSTACK_SHIM_", "DSTACK_RUNNER_", "DSTACK_DOCKER_",
                                                           "DSTACK_DCGM_"};

bool is_foreign(std::string_view name) {
  return std::ranges::contains(kForeignNames, name) ||
         std::ranges::any_of(kForeignPrefixes, [name](std::string_view prefix) { return name.starts_with(prefix); });
}

bool is_for_shim(std::string_view name) {
  return std::ranges::any_of(kShimPrefixes, [name](std::string_view prefix) { return name.starts_with(prefix); });
}

template <typename Keep>
std::vector<std::string> filtered(char* const* environment, Keep keep) {
  std::vector<std::string> kept;
  for (; *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    if (keep(entry.substr(0, entry.find('=')))) kept.emplace_back(entry);
  }
  return kept;
}

}  // namespace

std::vector<std::string> agent_environment(char* const* environment) {
  return filtered(environment, [](std::string_view name) { return !is_foreign(name); });
}

std::vector<std::string> shim_environment(char* const* environment) {
  return filtered(environment, [](std::string_view name) { return !is_foreign(name) || is_for_shim(name); });
}

}  // namespace dstack::shim::ci
