#pragma once

#include "common/os/unique_fd.h"
#include "common/server_api/client.h"
#include "shim/ci/launcher_setup.h"
#include "shim/ci/lines.h"

namespace dstack::shim::ci::cloud {

// Starts a runner on a machine of a cloud and waits until the CI shows it online; from then on the launcher in the run
// is in charge. Nothing is left at the CI or at the server if that fails, or a signal comes. `signals` are blocked.
// Returns the exit status.
int launch(LauncherSetup::Asked asked, server_api::Account account, const os::UniqueFd& signals, Lines& lines);

// What is wrong with these flags besides each by itself, before anyone is asked. Throws CommandError (2).
void check(const LauncherFlags& flags, const std::string& runner_name);

}  // namespace dstack::shim::ci::cloud
