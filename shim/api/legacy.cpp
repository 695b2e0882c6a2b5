#include "shim/api/legacy.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <random>

#include "common/error.h"
#include "common/json/object_reader.h"
#include "common/termination_reason.h"
#include "shim/api/schemas.h"

namespace dstack::shim::api {

using nlohmann::json;
using task::TaskStatus;

namespace {

// With `force` a container is killed at once, else it has this long to end by itself.
constexpr std::chrono::seconds kStopGrace{10};

std::string generated_name() {
  std::random_device random;
  return std::format("dstack-task-{:08x}", random());
}

SubmitRequest read_legacy_submit(const std::string& body) {
  const json object = dstack::json::parse_object(body);
  const dstack::json::ObjectReader reader(object);
  SubmitRequest request;
  request.registry_password = Secret(reader.string("password"));
  task::TaskConfig& config = request.config;
  config.id = kLegacyTaskId;
  config.name = reader.string("container_name");
  if (config.name.empty()) config.name = generated_name();
  config.registry_username = reader.string("username");
  config.image_name = reader.string("image_name");
  if (config.image_name.empty()) throw Error(ErrorKind::invalid, "empty image_name");
  config.container_user = reader.string("container_user");
  if (config.container_user.empty()) config.container_user = "root";
  config.privileged = reader.boolean("privileged");
  config.gpu = -1;
  config.shm_size = reader.integer("shm_size", 0, 0);
  config.container_ssh_keys = reader.strings("public_keys");
  config.host_ssh_user = reader.string("ssh_user");
  if (const std::string key = reader.string("ssh_key"); !key.empty()) config.host_ssh_keys = {key};
  config.volume_mounts = dstack::json::read_list<task::VolumeMount>(reader, "mounts");
  config.volumes = dstack::json::read_list<volume::VolumeInfo>(reader, "volumes");
  config.instance_mounts = dstack::json::read_list<task::InstanceMount>(reader, "instance_mounts");
  check_config(config);
  return request;
}

std::optional<task::TaskInfo> find(const task::TaskManager& tasks) {
  try {
    return tasks.info(kLegacyTaskId);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::not_found) return std::nullopt;
    throw;
  }
}

const char* state_of(const std::optional<task::TaskInfo>& task) {
  if (!task) return "pending";
  switch (task->status) {
    case TaskStatus::pending:
    case TaskStatus::preparing:
    case TaskStatus::pulling: return "pulling";
    case TaskStatus::creating: return "creating";
    case TaskStatus::running: return "running";
    case TaskStatus::terminated: break;
  }
  return "pending";
}

}  // namespace

void LegacyApi::add_routes(http::Server& server) {
  server.post_json("/api/submit", [this](const http::Request& request) { return submit(request); });
  server.get("/api/pull", [this](const http::Request&) { return pull(); });
  server.post_json("/api/stop", [this](const http::Request& request) { return stop(request); });
}

http::Response LegacyApi::submit(const http::Request& request) {
  SubmitRequest submitted = read_legacy_submit(request.body);
  drain_.expect_not_drained();
  const os::Lock lock(submitting_);
  if (const auto predecessor = find(tasks_)) {
    if (predecessor->status != TaskStatus::terminated) throw Error(ErrorKind::conflict, "a task is already submitted");
    tasks_.remove(kLegacyTaskId);
  }
  tasks_.submit(std::move(submitted.config), std::move(submitted.registry_password));
  return http::Response::empty();
}

http::Response LegacyApi::pull() const {
  const auto task = find(tasks_);
  const json result = {{"reason", task ? task->termination_reason : ""},
                       {"reason_message", task ? task->termination_message : ""}};
  return http::Response::json({{"state", state_of(task)}, {"result", result}});
}

http::Response LegacyApi::stop(const http::Request& request) {
  const bool force = !request.body.empty() && read_force(request.body);
  if (find(tasks_)) {
    tasks_.terminate(kLegacyTaskId, {.reason = termination_reason::kTerminatedByServer, .message = ""},
                     force ? std::chrono::seconds{0} : kStopGrace);
  }
  return http::Response::json({{"state", state_of(find(tasks_))}});
}

}  // namespace dstack::shim::api
