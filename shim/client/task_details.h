#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/secret.h"
#include "shim/client/shim_api.h"

namespace dstack::shim::client {

// A port of the container that is published on 127.0.0.1.
struct TaskPort {
  int container = 0;
  int host = 0;
  std::string protocol;  // "tcp", "udp"
};

// Everything that a shim knows of a local task.
struct TaskDetails {
  TaskEntry task;
  std::string address;   // of the container in its network; empty if it has none
  std::string health;    // "none", "starting", "healthy", "unhealthy"
  std::string ended_in;  // the status before "terminated"; empty before its end
  std::optional<int> exit_code;
  std::string start_failure;  // "not_found", "not_executable" if that kept the program from running; else empty
  bool out_of_memory = false;
  Secret runner_token;
  bool stdin_open = false;  // of a task whose process is "image": it has an input, a terminal
  bool tty = false;
  std::vector<TaskPort> ports;
  // Of the image; empty before the container is made.
  std::string digest;
  std::string user;
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;
  std::vector<std::string> environment;    // "NAME=value"
  std::vector<std::string> exposed_ports;  // "8000/tcp"
};

// As a shell reports it: the container's, 126 or 127 if its program could not be executed, 137 if it was killed, 125 if
// it never ran.
int exit_status_of(std::optional<int> exit_code, std::string_view start_failure, std::string_view ended_in);
int exit_status_of(const TaskDetails& details);

}  // namespace dstack::shim::client
