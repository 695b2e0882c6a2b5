#include "shim/task/runner_calls.h"

#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/http/client.h"
#include "common/json/dump.h"
#include "common/json/object_reader.h"
#include "common/termination_reason.h"

namespace dstack::shim::task {

namespace {

constexpr std::chrono::seconds kRunnerConnectLimit{2};
constexpr std::chrono::seconds kRunnerAnswerLimit{5};

http::ClientResponse post(int port, const char* path, const nlohmann::json& body, const std::stop_token& stop,
                          os::Clock& clock) {
  http::Client client({.base_url = std::format("http://127.0.0.1:{}", port)}, clock);
  return client.send({.method = "POST",
                      .path = path,
                      .body = dstack::json::dump(body),
                      .connect_limit = kRunnerConnectLimit,
                      .total_limit = kRunnerAnswerLimit},
                     stop);
}

[[noreturn]] void refused(const char* path, const http::ClientResponse& response) {
  throw Error(ErrorKind::unavailable,
              std::format("the runner answered {} to {}: {}", response.status, path, printable(response.body)));
}

JobProgress parse_progress(const std::string& body) {
  try {
    const nlohmann::json object = dstack::json::parse_object(body);
    const std::string job = dstack::json::ObjectReader(object).string("job");
    if (job == "waiting") return JobProgress::waiting;
    if (job == "over") return JobProgress::over;
  } catch (const std::exception&) {  // another runner
  }
  return JobProgress::running;
}

}  // namespace

JobProgress interrupt_job(int port, const std::string& message, const std::stop_token& stop, os::Clock& clock) {
  constexpr const char* kPath = "/api/stop";
  const nlohmann::json body{{"termination_reason", termination_reason::kInterruptedByNoCapacity},
                            {"termination_message", message}};
  const http::ClientResponse response = post(port, kPath, body, stop, clock);
  if (response.status != 200) refused(kPath, response);
  return parse_progress(response.body);
}

bool add_to_runner_log(int port, const std::string& message, const std::stop_token& stop, os::Clock& clock) {
  constexpr const char* kPath = "/api/notice";
  const http::ClientResponse response = post(port, kPath, {{"message", message}}, stop, clock);
  if (response.status == 404 || response.status == 405) return false;
  if (response.status != 200) refused(kPath, response);
  return true;
}

}  // namespace dstack::shim::task
