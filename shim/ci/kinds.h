#pragma once

#include <memory>
#include <optional>

#include "common/os/clock.h"
#include "common/secret.h"
#include "shim/ci/agent.h"
#include "shim/ci/ci.h"
#include "shim/ci/journal.h"
#include "shim/ci/launcher_flags.h"

namespace dstack::shim::ci {

// The kinds of CI that there are, by the name of the driver.

// The CI that a journal names. Throws Error.
std::unique_ptr<Ci> connect(const Journal& journal, const Secret& token, os::Clock& clock);

// A CI and the agent that speaks its protocol. With `given` the token is not needed.
struct Connection {
  std::unique_ptr<Ci> ci;
  std::unique_ptr<Agent> agent;  // may use `ci`: it goes first
};
Connection connect_with_agent(const Journal& journal, const Secret& token, const std::optional<GivenRunner>& given,
                              const LauncherFlags& flags, os::Clock& clock);

}  // namespace dstack::shim::ci
