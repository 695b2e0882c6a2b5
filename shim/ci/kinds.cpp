#include "shim/ci/kinds.h"

#include <format>

#include "common/error.h"
#include "shim/ci/github/agent.h"
#include "shim/ci/github/github.h"
#include "shim/ci/gitlab/agent.h"
#include "shim/ci/gitlab/gitlab.h"
#include "shim/ci/gitlab/given_runner.h"

namespace dstack::shim::ci {

Connection connect_with_agent(const Journal& journal, const Secret& token,
                              const std::optional<Registration>& given_runner, const LauncherFlags& flags,
                              os::Clock& clock) {
  const std::filesystem::path& given = flags.containers.agent;
  if (journal.driver == "gitlab") {
    std::unique_ptr<Ci> ci;
    if (given_runner) {
      ci = std::make_unique<gitlab::GivenRunner>(journal.base_url, *given_runner, clock);
    } else {
      ci = std::make_unique<gitlab::GitLab>(journal.base_url, journal.path, token, clock);
    }
    return {.ci = std::move(ci),
            .agent = std::make_unique<gitlab::GitLabRunner>(given, journal.base_url, flags.single)};
  }
  if (journal.driver == "github") {
    auto github = std::make_unique<github::GitHub>(journal.base_url, journal.path, token, clock);
    auto agent = std::make_unique<github::ActionsAgent>(*github, given,
                                                        github::AgentCache(github::agent_cache_folder(), clock), clock);
    return {.ci = std::move(github), .agent = std::move(agent)};
  }
  throw Error(ErrorKind::invalid, std::format("{} is neither github nor gitlab", printable(journal.driver)));
}

std::unique_ptr<Ci> connect(const Journal& journal, const Secret& token, os::Clock& clock) {
  return connect_with_agent(journal, token, {}, {}, clock).ci;
}

}  // namespace dstack::shim::ci
