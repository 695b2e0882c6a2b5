#pragma once

#include <string>
#include <vector>

namespace dstack::shim::ci {

// `dstack-shim ci keep -- PROGRAM…`: the process between a launcher and a program that must not outlive it. It is the
// reaper of all that comes of the program, in other sessions too.
//
// Its standard input is a pipe from the launcher that nothing is written to: when it closes, which a killed launcher's
// does, everything below is killed. SIGTERM, SIGINT and SIGQUIT are passed on to the program. When the program has
// ended, what it left behind is killed, and the keeper ends with its exit status.
struct KeeperOptions {
  std::vector<std::string> program;
  // Of a program that is a shim: its port. Its tasks are ended before it is.
  int shim_port = 0;
};

int keep(const KeeperOptions& options);

}  // namespace dstack::shim::ci
