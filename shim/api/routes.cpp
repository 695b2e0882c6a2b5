#include "shim/api/routes.h"

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/version.h"
#include "shim/api/drain_routes.h"
#include "shim/api/instance_routes.h"
#include "shim/api/metrics_route.h"
#include "shim/api/schemas.h"

namespace dstack::shim::api {

using http::Request;
using http::Response;
using nlohmann::json;

namespace {

constexpr const char* kHealthCheckPath = "/api/healthcheck";
// Of one answer; whoever wants more asks again.
constexpr std::size_t kOutputLimit = std::size_t{1} << 20;

constexpr std::int64_t kMostLines = std::int64_t{1} << 48;
constexpr std::size_t kLinesAtOnce = 4096;

const std::string& id_of(const Request& request) { return request.path_parameters.find("id")->second; }

bool is_set(const Request& request, std::string_view name) {
  const auto value = request.query.find(name);
  return value != request.query.end() && value->second == "1";
}

std::uint64_t offset_of(const Request& request) {
  const std::int64_t offset = request.query_integer("offset");
  // Leaves room for what is added to it.
  if (offset < 0 || offset > (std::int64_t{1} << 62))
    throw Error(ErrorKind::invalid, "offset: out of range: " + std::to_string(offset));
  return static_cast<std::uint64_t>(offset);
}

void add_task_routes(http::Server& server, task::TaskManager& tasks, const Drain& drain) {
  server.get("/api/tasks", [&tasks](const Request& request) {
    // Servers refuse fields that they do not know, and never ask for these.
    if (is_set(request, "local") && is_set(request, "details")) return Response::json(to_json(tasks.details()));
    return Response::json(to_json(tasks.list(is_set(request, "local"))));
  });
  server.get("/api/tasks/{id}", [&tasks](const Request& request) {
    if (is_set(request, "details")) return Response::json(to_json(tasks.inspect(id_of(request))));
    return Response::json(to_json(tasks.info(id_of(request))));
  });
  server.get("/api/tasks/{id}/logs", [&tasks](const Request& request) {
    Response response;
    response.content_type = "application/octet-stream";
    response.body = tasks.output(id_of(request), offset_of(request), kOutputLimit);
    return response;
  });
  server.get("/api/tasks/{id}/logs/times", [&tasks](const Request& request) {
    const std::int64_t first = request.query_integer("first");
    if (first < 0 || first > kMostLines)
      throw Error(ErrorKind::invalid, "first: out of range: " + std::to_string(first));
    return Response::json(to_json(tasks.output_times(id_of(request), static_cast<std::uint64_t>(first), kLinesAtOnce)));
  });
  server.post_json("/api/tasks", [&tasks, &drain](const Request& request) {
    SubmitRequest submitted = read_submit(request.body);
    drain.expect_not_drained();
    return Response::json(to_json(tasks.submit(std::move(submitted.config), std::move(submitted.registry_password))));
  });
  server.post_json("/api/tasks/{id}/terminate", [&tasks](const Request& request) {
    TerminateRequest wanted = read_terminate(request.body);
    return Response::json(to_json(tasks.terminate(id_of(request), std::move(wanted.ending), wanted.grace)));
  });
  server.post("/api/tasks/{id}/start", [&tasks](const Request& request) {
    tasks.start(id_of(request));
    return Response::empty();
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

void add_routes(http::Server& server, Services services) {
  // Browsers send it with whatever a web page asks of 127.0.0.1; no client of ours does.
  server.guard([](const Request& request) -> std::optional<Response> {
    if (!request.header("origin")) return std::nullopt;
    return Response::text(403, "not allowed from a browser\n");
  });
  if (services.peers != nullptr) {
    const auto check = [peers = services.peers](const Request& request) -> std::optional<Response> {
      const os::TcpEnd own{.address = request.local_address, .port = request.local_port};
      const os::TcpEnd peer{.address = request.peer_address, .port = request.peer_port};
      if (peers->may_call(own, peer)) return std::nullopt;
      return Response::text(403, "not allowed from a task's container\n");
    };
    server.guard_peers(check, kHealthCheckPath);
  }
  server.get(kHealthCheckPath, [answer = Response::json({{"service", "dstack-shim"}, {"version", version()}})](
                                   const Request&) { return answer; });
  server.post_json("/api/shutdown", [shut_down = services.shut_down](const Request& request) {
    shut_down(read_force(request.body));
    return Response::empty();
  });
  add_instance_routes(server, services.tasks, services.gpus, services.dcgm);
  add_metrics_route(server, services.metrics, services.tasks, services.gpus, services.drain);
  add_component_routes(server, services.components);
  add_task_routes(server, services.tasks, services.drain);
  add_drain_routes(server, services.drain);
  services.legacy.add_routes(server);
}

}  // namespace dstack::shim::api
