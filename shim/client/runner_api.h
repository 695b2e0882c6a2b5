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

  // The job's output since the last call. Sets `end` when its last state is known; returns whether there may be more.
  bool pull(std::string& output, std::optional<JobEnd>& end);

 private:
  std::string call(const std::string& method, const std::string& path, const std::string& body);

  http::Client client_;
  std::int64_t timestamp_ = 0;
};

// Throws Error (invalid) for what is not base64.
std::string decode_base64(std::string_view text);

}  // namespace dstack::shim::client
