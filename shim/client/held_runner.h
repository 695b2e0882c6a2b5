#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "common/http/client.h"
#include "common/secret.h"
#include "shim/client/exec_frames.h"

namespace dstack::shim::client {

// A program to be started in a held container.
struct Program {
  std::string id;  // letters, digits, "_" and "-", 64 at most; one at a time
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment = {};  // over the container's
  std::string working_dir = {};                         // empty: the container's
  std::string user = {};                                // name or uid, with ":group"; empty: root
  std::string input = {};                               // its standard input, any bytes
};

// The runner of a task that holds its container (docs/container-tasks.md). From any thread.
class HeldRunner {
 public:
  HeldRunner(int port, Secret token);

  bool answers();

  // Runs a program to its end and hands on what it writes, as it comes. Throws Error: not_found if there is no such
  // program, or it cannot be executed; invalid for an unknown user or folder; conflict while one of this id runs;
  // cancelled by `stop`, which also stops the program (SIGTERM, 5 s, SIGKILL); unavailable if the runner, or its
  // container, is gone.
  ProgramEnd run(const Program& program, const ExecFrames::Take& take, const std::stop_token& stop = {});

  // Sends a signal ("SIGTERM") to the program and all that came of it, and SIGKILL after `grace`. False if no program
  // of this id is running.
  bool stop(const std::string& id, const std::string& signal, std::chrono::seconds grace);

 private:
  std::unique_ptr<http::Client> client_;  // so that it can be moved
  Secret token_;
};

}  // namespace dstack::shim::client
