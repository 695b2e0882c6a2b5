#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/secret.h"
#include "shim/client/shim_api.h"

namespace dstack::shim::client {

// Everything that a shim knows of a local task.
struct TaskDetails {
  TaskEntry task;
  std::string address;   // of the container in its network; empty if it has none
  std::string health;    // "none", "starting", "healthy", "unhealthy"
  std::string ended_in;  // the status before "terminated"; empty before its end
  std::optional<int> exit_code;
  bool out_of_memory = false;
  Secret runner_token;
  // Of the image; empty before the container is made.
  std::string digest;
  std::string user;
  std::vector<std::string> exposed_ports;  // "8000/tcp"
};

}  // namespace dstack::shim::client
