#include "shim/ci/end_tasks.h"

#include <format>
#include <nlohmann/json.hpp>
#include <vector>

#include "common/error.h"
#include "common/http/client.h"
#include "common/json/dump.h"
#include "common/json/object_reader.h"
#include "common/os/clock.h"
#include "common/termination_reason.h"

namespace dstack::shim::ci {

namespace {

using Millis = std::chrono::milliseconds;

// With a limit for all requests together, unlike a person's commands.
class Tasks {
 public:
  Tasks(int port, std::chrono::seconds limit)
      : client_({.base_url = std::format("http://127.0.0.1:{}", port)}), end_(os::system_clock().now() + limit) {}

  std::vector<std::string> ids() {
    const auto answer = send("GET", "/api/tasks?local=1&details=1", "");
    const nlohmann::json list = json::parse_object(answer);
    std::vector<std::string> ids;
    json::ObjectReader(list).objects("tasks",
                                     [&ids](const json::ObjectReader& task) { ids.push_back(task.string("id")); });
    return ids;
  }

  void end(const std::string& id) {
    const nlohmann::json why = {{"termination_reason", termination_reason::kTerminatedByUser},
                                {"termination_message", "the CI runner has ended"},
                                {"timeout", 0}};
    const std::string path = "/api/tasks/" + http::encode_url_component(id);
    send("POST", path + "/terminate", json::dump(why));
    send("POST", path + "/remove", "");
  }

 private:
  std::string send(const std::string& method, const std::string& path, const std::string& body) {
    const auto left = std::chrono::duration_cast<Millis>(end_ - os::system_clock().now());
    if (left.count() <= 0) throw Error(ErrorKind::timed_out, "the shim is too slow");
    auto answer = client_.send({.method = method, .path = path, .body = body, .total_limit = left});
    if (answer.status != 200 && answer.status != 404)
      throw Error(ErrorKind::unavailable, std::format("{} {}: status {}", method, path, answer.status));
    return std::move(answer.body);
  }

  http::Client client_;
  const os::SteadyTime end_;
};

}  // namespace

bool end_tasks(int shim_port, std::chrono::seconds limit, std::string& problem) {
  bool all = true;
  try {
    Tasks tasks(shim_port, limit);
    for (const std::string& id : tasks.ids()) {
      try {
        tasks.end(id);
      } catch (const std::exception& error) {
        problem = std::format("remove task {}: {}", printable(id), error.what());
        all = false;
      }
    }
  } catch (const std::exception& error) {
    problem = std::format("list the tasks of the shim on port {}: {}", shim_port, error.what());
    return false;
  }
  return all;
}

}  // namespace dstack::shim::ci
