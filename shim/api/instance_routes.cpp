#include "shim/api/instance_routes.h"

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "shim/api/schemas.h"
#include "shim/dcgm/metrics_filter.h"

namespace dstack::shim::api {

namespace {

using http::Request;
using http::Response;
using nlohmann::json;

constexpr int kFailure = 20;

Response instance_info(const gpu::Inventory* gpus) {
  if (gpus == nullptr) return Response::text(503, "the GPUs of this host are still being detected\n");
  json info = json::object();
  if (gpus->gpus.empty()) return Response::json(info);
  info["gpu_vendor"] = dstack::gpu::name_of(gpus->vendor);
  if (!gpus->driver_version.empty()) info["gpu_driver_version"] = gpus->driver_version;
  return Response::json(info);
}

// What DCGM cannot say, since it does not work then either.
std::optional<dcgm::Incident> driver_incident(const gpu::HostGpus& gpus) {
  const auto message = gpus.driver_mismatch();
  if (!message) return std::nullopt;
  constexpr int driver_watch = 0x200;
  constexpr int unknown_error = 1;
  return dcgm::Incident{
      .system = driver_watch, .health = kFailure, .error_message = *message, .error_code = unknown_error};
}

json instance_health(const dcgm::Services& dcgm, const gpu::HostGpus& host_gpus) {
  auto report = dcgm.health ? dcgm.health->check() : std::nullopt;
  if (auto incident = driver_incident(host_gpus)) {
    if (!report) report.emplace();
    report->overall_health = kFailure;
    report->incidents.push_back(std::move(*incident));
  }
  json health{{"dcgm", report ? dcgm::to_json(*report) : json()}};
  const gpu::Sicknesses sick = host_gpus.sick();
  if (!sick.empty()) health["sick_gpus"] = to_json(sick);
  return health;
}

Response task_metrics(task::TaskManager& tasks, dcgm::Exporter* exporter, const std::string& id) {
  if (exporter == nullptr) return Response::text(404, "DCGM Exporter is not available\n");
  const task::TaskInfo info = tasks.info(id);  // 404 for an unknown one
  // What an ended task had may be another's by now.
  if (info.status == task::TaskStatus::terminated || !info.gpu_ids) return Response::empty();
  try {
    return Response::text(200, dcgm::metrics_of(exporter->fetch(), *info.gpu_ids));
  } catch (const std::exception& error) {
    return Response::text(502, std::string(error.what()) + "\n");
  }
}

}  // namespace

void add_instance_routes(http::Server& server, task::TaskManager& tasks, const gpu::HostGpus& gpus,
                         const dcgm::Services& dcgm) {
  server.get("/api/instance/info", [&gpus](const Request&) { return instance_info(gpus.inventory()); });
  server.get("/api/instance/health",
             [&dcgm, &gpus](const Request&) { return Response::json(instance_health(dcgm, gpus)); });
  server.get("/metrics/tasks/{id}", [&tasks, &dcgm](const Request& request) {
    return task_metrics(tasks, dcgm.exporter.get(), request.path_parameters.find("id")->second);
  });
}

}  // namespace dstack::shim::api
