#include "shim/ci/kinds.h"

#include <format>

#include "common/error.h"
#include "shim/ci/github/agent.h"
#include "shim/ci/github/github.h"
#include "shim/ci/github/known_runner.h"
#include "shim/ci/gitlab/agent.h"
#include "shim/ci/gitlab/gitlab.h"
#include "shim/ci/gitlab/known_runner.h"

namespace dstack::shim::ci {

namespace {

Connection connect_gitlab(const Journal& journal, const Secret& token, const std::optional<GivenRunner>& given,
                          const LauncherFlags& flags, os::Clock& clock) {
  auto agent = std::make_unique<gitlab::GitLabRunner>(flags.containers.agent, journal.base_url, flags.single);
  if (given) {
    return {.ci = std::make_unique<gitlab::KnownRunner>(journal.base_url, given->runner, clock),
            .agent = std::move(agent)};
  }
  return {.ci = std::make_unique<gitlab::GitLab>(journal.base_url, journal.path, token, clock),
          .agent = std::move(agent)};
}

Connection connect_github(const Journal& journal, const Secret& token, const std::optional<GivenRunner>& given,
                          const LauncherFlags& flags, os::Clock& clock) {
  using github::ActionsAgent;
  const std::filesystem::path& file = flags.containers.agent;
  github::AgentCache cache(github::agent_cache_folder(), clock);
  if (given) {
    const auto offered = [text = given->agent_offer](const Patience&) { return github::parse_agent_release(text); };
    return {.ci = std::make_unique<github::KnownRunner>(given->runner),
            .agent = std::make_unique<ActionsAgent>(offered, file, std::move(cache), clock)};
  }
  auto ci = std::make_unique<github::GitHub>(journal.base_url, journal.path, token, clock);
  const auto newest = [&github = *ci](const Patience& patience) { return github.newest_agent(patience); };
  auto agent = std::make_unique<ActionsAgent>(newest, file, std::move(cache), clock);
  return {.ci = std::move(ci), .agent = std::move(agent)};
}

}  // namespace

Connection connect_with_agent(const Journal& journal, const Secret& token, const std::optional<GivenRunner>& given,
                              const LauncherFlags& flags, os::Clock& clock) {
  if (journal.driver == "gitlab") return connect_gitlab(journal, token, given, flags, clock);
  if (journal.driver == "github") return connect_github(journal, token, given, flags, clock);
  throw Error(ErrorKind::invalid, std::format("{} is neither github nor gitlab", printable(journal.driver)));
}

std::unique_ptr<Ci> connect(const Journal& journal, const Secret& token, os::Clock& clock) {
  return connect_with_agent(journal, token, {}, {}, clock).ci;
}

}  // namespace dstack::shim::ci
