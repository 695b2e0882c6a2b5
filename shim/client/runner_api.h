#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "common/http/client.h"

namespace dstack::shim::client {

struct JobEnd {
  std::string state;  // "done", "failed", "terminated"
  std::string reason;
  std::string message;
  std::optional<std::int64_t> exit_status;  // -1 for a signal
};

// The runner in a task's container. Members throw Error.
class RunnerApi {
 public:
  explicit RunnerApi(int port);

  bool answers();
  void submit(const nlohmann::json& job);
  void run();
  void stop();

  // Sets `end` when the job's last state is known; returns whether there may be more to come. The runner leaves once
  // it has said that there is not.
  bool pull(std::optional<JobEnd>& end);

 private:
  std::string call(const std::string& method, const std::string& path, const std::string& body);

  http::Client client_;
  std::int64_t timestamp_ = 0;
};

}  // namespace dstack::shim::client
