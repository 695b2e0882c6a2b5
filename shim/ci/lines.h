#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "common/os/clock.h"
#include "shim/ci/launcher_flags.h"

namespace dstack::shim::ci {

// An id as a number, where it is one.
nlohmann::json id_json(const std::string& id);

// What a launcher writes on standard error, a line each: what has happened to the runner as `status` with fields, and
// all else as `message`, which is what is logged with spdlog from now on. From any thread.
class Lines {
 public:
  // Nothing given: text on a terminal, JSON otherwise. `repo` is in every line of JSON.
  Lines(std::optional<LogFormat> format, std::string repo, os::Clock& clock);
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;
  ~Lines();

  void status(std::string_view status, const nlohmann::json& fields);

 private:
  class Sink;
  std::shared_ptr<Sink> sink_;
};

}  // namespace dstack::shim::ci
