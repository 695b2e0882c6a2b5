#include "shim/ci/gitlab/known_runner.h"

#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/dump.h"

namespace dstack::shim::ci::gitlab {

KnownRunner::KnownRunner(const std::string& base_url, Registration runner, os::Clock& clock)
    : requests_(base_url + "/api/v4", "", runner.token, clock), runner_(std::move(runner)) {}

std::string KnownRunner::body() const { return dstack::json::dump({{"token", runner_.token.reveal()}}); }

void KnownRunner::check(const Patience& patience) {
  if (!is_listed(runner_.id, patience))
    throw CiFailure(403, std::format("runner {} is not known at {}", runner_.id, requests_.base_url()));
}

std::vector<ListedRunner> KnownRunner::runners(const Patience&) { return {}; }

bool KnownRunner::has_labels(const ListedRunner&, const std::vector<std::string>&, const Patience&) { return false; }

bool KnownRunner::is_busy(const std::string&, const Patience&) { return false; }

Registration KnownRunner::add(const std::string&, const std::vector<std::string>&, const Patience&) { return runner_; }

bool KnownRunner::is_listed(const std::string&, const Patience& patience) {
  const auto answer = requests_.ask("POST", "/runners/verify", body(), patience);
  if (answer.status == 403 || answer.status == 404) return false;
  if (answer.status / 100 != 2)
    throw CiFailure(answer.status, std::format("GitLab refused to verify runner {} ({}): {}", runner_.id,
                                               requests_.base_url(), requests_.quote(answer)));
  return true;
}

Removal KnownRunner::withdraw(const std::string&, const Patience&) { return Removal::removed; }

Removal KnownRunner::remove(const std::string&, const Secret&, const Patience& patience) {
  const auto answer = requests_.ask("DELETE", "/runners", body(), patience);
  // A token that is not known any more is one of a runner that is gone.
  if (answer.status == 204 || answer.status == 403 || answer.status == 404) return Removal::removed;
  throw CiFailure(answer.status, std::format("GitLab refused to delete runner {} ({}): {}", runner_.id,
                                             requests_.base_url(), requests_.quote(answer)));
}

RerunAnswer KnownRunner::rerun(const CiJob&, const Patience&) {
  throw CiFailure(
      403, "the runner's own token does not allow that; `retry: {when: runner_system_failure}` makes GitLab do it");
}

}  // namespace dstack::shim::ci::gitlab
