#include "shim/api/routes.h"

#include <nlohmann/json.hpp>

#include "common/version.h"
#include "shim/api/instance_routes.h"
#include "shim/api/metrics_route.h"
#include "shim/api/schemas.h"

namespace dstack::shim::api {

using http::Request;
using http::Response;
using nlohmann::json;

namespace {

constexpr const char* health_check_path = "/api/healthcheck";

const std::string& id_of(const Request& request) { return request.path_parameters.find("id")->second; }

void add_task_routes(http::Server& server, task::TaskManager& tasks) {
  server.get("/api/tasks", [&tasks](const Request& request) {
    const auto local = request.query.find("local");
    return Response::json(to_json(tasks.list(local != request.query.end() && local->second == "1")));
  });
  server.get("/api/tasks/{id}",
             [&tasks](const Request& request) { return Response::json(to_json(tasks.info(id_of(request)))); });
  server.post_json("/api/tasks", [&tasks](const Request& request) {
    SubmitRequest submitted = read_submit(request.body);
    return Response::json(to_json(tasks.submit(std::move(submitted.config), std::move(submitted.registry_password))));
  });
  server.post_json("/api/tasks/{id}/terminate", [&tasks](const Request& request) {
    TerminateRequest wanted = read_terminate(request.body);
    return Response::json(to_json(tasks.terminate(id_of(request), std::move(wanted.ending), wanted.grace)));
  });
  server.post("/api/tasks/{id}/remove", [&tasks](const Request& request) {
    tasks.remove(id_of(request));
    return Response::empty();
  });
}

void add_component_routes(http::Server& server, component::Components& components) {
  server.get("/api/components", [&components](const Request&) { return Response::json(to_json(components.list())); });
  server.post_json("/api/components/install", [&components](const Request& request) {
    const InstallRequest wanted = read_install(request.body);
    components.install(wanted.name, wanted.url);
    return Response::empty();
  });
}

}  // namespace

void add_routes(http::Server& server, Parts parts) {
  // Browsers send it with whatever a web page asks of 127.0.0.1; no client of ours does.
  server.guard([](const Request& request) -> std::optional<Response> {
    if (!request.header("origin")) return std::nullopt;
    return Response::text(403, "not allowed from a browser\n");
  });
  if (parts.peers != nullptr) {
    const auto check = [peers = parts.peers](const Request& request) -> std::optional<Response> {
      const os::TcpEnd own{.address = request.local_address, .port = request.local_port};
      const os::TcpEnd peer{.address = request.peer_address, .port = request.peer_port};
      if (peers->may_call(own, peer)) return std::nullopt;
      return Response::text(403, "not allowed from a task's container\n");
    };
    server.guard_peers(check, health_check_path);
  }
  server.get(health_check_path,
             [](const Request&) { return Response::json({{"service", "dstack-shim"}, {"version", version()}}); });
  server.post_json("/api/shutdown", [shut_down = parts.shut_down](const Request& request) {
    shut_down(read_force(request.body));
    return Response::empty();
  });
  add_instance_routes(server, parts.tasks, parts.gpus.inventory(), parts.dcgm);
  add_metrics_route(server, parts.metrics, parts.tasks, parts.gpus);
  add_component_routes(server, parts.components);
  add_task_routes(server, parts.tasks);
  parts.legacy.add_routes(server);
}

}  // namespace dstack::shim::api
