#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/os/user_db.h"
#include "runner/job/environment.h"
#include "runner/job/job_user.h"

namespace dstack::runner::exec {

// No program of that name, or one that cannot be executed.
class NoSuchProgram : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A program to be started in the container, with everything looked up.
struct ExecSpec {
  std::string id;
  std::vector<std::string> arguments;
  std::string program;                   // its path
  std::vector<std::string> environment;  // NAME=value
  std::string working_dir;               // empty: the container's
  job::JobUser user;
  std::string input;  // base64; empty: none
};

// The body of POST /api/exec. Throws Error (invalid) for what is malformed, an unknown user, a working folder that is
// not there; NoSuchProgram. `container` is what the program's environment is over.
ExecSpec read_exec(const std::string& body, const job::Environment& container,
                   const os::UserDatabase& users = os::UserDatabase());

struct StopRequest {
  int signal = 0;
  std::chrono::milliseconds grace{5000};
};

// The body of POST /api/exec/{id}/stop; an empty one is SIGTERM and 5 s. Throws Error (invalid).
StopRequest read_stop(const std::string& body);

// What is handed to the process that starts the program (supervisor.h), and read there.
nlohmann::json to_json(const ExecSpec& spec);
ExecSpec spec_of(const nlohmann::json& json);

}  // namespace dstack::runner::exec
