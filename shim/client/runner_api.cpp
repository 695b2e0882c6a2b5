#include "shim/client/runner_api.h"

#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/json/object_reader.h"

namespace dstack::shim::client {

using dstack::json::ObjectReader;

namespace {

constexpr std::chrono::seconds kRunnerAnswerLimit{60};
constexpr std::chrono::seconds kRunnerHealthLimit{2};

}  // namespace

RunnerApi::RunnerApi(int port) : client_({.base_url = std::format("http://127.0.0.1:{}", port)}) {}

bool RunnerApi::answers() {
  try {
    return client_.send({.path = "/api/healthcheck", .total_limit = kRunnerHealthLimit}).status == 200;
  } catch (const std::exception&) {
    return false;
  }
}

void RunnerApi::submit(const nlohmann::json& job) { call("POST", "/api/submit", dstack::json::dump(job)); }

void RunnerApi::run() { call("POST", "/api/run", ""); }

void RunnerApi::stop() { call("POST", "/api/stop", ""); }

bool RunnerApi::pull(std::optional<JobEnd>& end) {
  const nlohmann::json answer =
      dstack::json::parse_object(call("GET", std::format("/api/pull?timestamp={}", timestamp_), ""));
  const ObjectReader reader(answer);
  reader.objects("job_states", [&](const ObjectReader& state) {
    const std::string name = state.string("state");
    if (name != "done" && name != "failed" && name != "terminated") return;
    end = JobEnd{.state = name,
                 .reason = state.string("termination_reason"),
                 .message = state.string("termination_message"),
                 .exit_status = state.optional_integer("exit_status")};
  });
  timestamp_ = reader.integer("last_updated", timestamp_);
  return reader.boolean("has_more");
}

std::string RunnerApi::call(const std::string& method, const std::string& path, const std::string& body) {
  const http::ClientResponse response =
      client_.send({.method = method, .path = path, .body = body, .total_limit = kRunnerAnswerLimit});
  if (response.status != 200) {
    throw Error(ErrorKind::unavailable,
                std::format("the runner answered {} to {}: {}", response.status, path, printable(response.body)));
  }
  return response.body;
}

}  // namespace dstack::shim::client
