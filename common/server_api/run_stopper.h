#pragma once

#include <set>
#include <string>
#include <vector>

#include "common/server_api/client.h"

namespace dstack::server_api {

// Aborts runs until they terminate: a server that is looking at a run meanwhile may overwrite a stop that it has
// accepted.
class RunStopper {
 public:
  // `server` outlives this object.
  explicit RunStopper(Client& server) : server_(server) {}

  // Stops those of `names` that were not stopped before, and again those that `runs` does not show as terminating.
  // Whether any was not stopped before. Throws as Client::stop_runs() does.
  bool stop(const std::set<std::string>& names, const std::vector<Run>& runs);

 private:
  Client& server_;
  std::set<std::string> stopped_;
};

}  // namespace dstack::server_api
