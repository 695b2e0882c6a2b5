#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "common/os/child.h"
#include "shim/ci/kept_program.h"

namespace dstack::shim::ci {

// Whether a shim answers on 127.0.0.1:port.
bool shim_answers(int port);

// Whether the engine answers.
bool docker_answers();

// A shim of the launcher's own, for a machine that has none: its home is a folder of the launcher's, its port a free
// one.
class OwnShim {
 public:
  // Starts it; returns when it answers. `ended` is called, on another thread, if it ends without stop(). Throws Error,
  // with the last line that it wrote.
  OwnShim(const std::filesystem::path& home, std::function<void(const std::string& how)> ended,
          const std::stop_token& stop);
  OwnShim(const OwnShim&) = delete;
  OwnShim& operator=(const OwnShim&) = delete;
  ~OwnShim();

  int port() const { return port_; }
  bool runs() const;

  // Ends its tasks and the shim. False, with the problem, if a task could not be removed.
  bool stop(std::string& problem);

 private:
  class Shared;
  void await(const std::stop_token& stop);

  int port_ = 0;
  std::shared_ptr<Shared> shared_;
  std::unique_ptr<KeptProgram> program_;
};

}  // namespace dstack::shim::ci
