#pragma once

#include <stop_token>
#include <string>

#include "common/os/clock.h"
#include "shim/ci/ci.h"
#include "shim/ci/cloud/server_run.h"

namespace dstack::shim::ci::cloud {

// The runner that is waited for.
struct AwaitedRunner {
  std::string name;
  std::string id;  // empty: the launcher in the run registers it
};

// Returns when the CI shows the runner online, or the run has come to a good end already. Throws Error with the
// server's reason when the run has failed, is not known any more, or takes too long.
void await_online(ServerRun& run, const std::string& run_name, Ci& ci, const AwaitedRunner& runner, os::Clock& clock,
                  const std::stop_token& stop);

}  // namespace dstack::shim::ci::cloud
