#include "shim/ci/cloud/left_run.h"

#include "shim/ci/cloud/flags.h"
#include "shim/ci/cloud/server_run.h"

namespace dstack::shim::ci::cloud {

namespace {

constexpr std::chrono::minutes kEndLimit{3};

}  // namespace

void stop_left_run(const Journal& journal, os::Clock& clock, const Patience& patience) {
  CloudFlags flags;
  flags.dstack_url = journal.dstack_url;
  flags.dstack_project = journal.dstack_project;
  ServerRun run(find_account(flags), journal.run, journal.submission, clock, patience.stop);
  run.stop(patience.network);
  // Until then its name is taken.
  run.await_end(kEndLimit);
}

}  // namespace dstack::shim::ci::cloud
