#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/http/client.h"

namespace dstack::shim::client {

struct TaskView {
  std::string status;
  std::string termination_reason;
  std::string termination_message;
  std::optional<int> runner_port;  // on 127.0.0.1, once the container has started
  bool pulling_known = false;      // there are numbers
  std::int64_t downloaded = 0;
  std::int64_t total = 0;
  bool total_is_final = false;
};

// A running shim, as a person's commands use it. Members throw Error with the shim's own words.
class ShimApi {
 public:
  // `runner_http_port` is the runner's port inside of containers.
  ShimApi(int port, int runner_http_port);

  void submit(const nlohmann::json& task);
  TaskView task(const std::string& id);
  void terminate(const std::string& id, const std::string& reason, int grace_seconds);
  void remove(const std::string& id);

 private:
  nlohmann::json call(const std::string& method, const std::string& path, const std::string& body);

  int port_;
  int runner_http_port_;
  http::Client client_;
};

}  // namespace dstack::shim::client
