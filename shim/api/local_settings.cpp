#include "shim/api/local_settings.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "common/json/object_reader.h"
#include "common/json/refusal.h"
#include "common/version.h"
#include "shim/api/schemas.h"

namespace dstack::shim::api {

void add_local_settings_route(http::Server& server, LocalSettings settings, const component::Components& components,
                              const Drain& drain, const gpu::HostGpus& gpus) {
  server.get("/local/settings", [settings = std::move(settings), &components, &drain, &gpus](const http::Request&) {
    nlohmann::json answer = to_json(components.list());
    answer["version"] = version();
    answer["pid"] = ::getpid();
    answer["home"] = settings.home.string();
    answer["binary_path"] = settings.binary_path.string();
    answer["runner_binary_path"] = settings.runner_binary_path.string();
    answer["http_port"] = settings.http_port;
    answer["runner_http_port"] = settings.runner_http_port;
    answer["runner_ssh_port"] = settings.runner_ssh_port;
    answer["dcgm_exporter_http_port"] = settings.dcgm_exporter_http_port;
    answer["engine_address"] = settings.engine_address;
    answer["pass_env"] = settings.pass_env;
    answer["privileged"] = settings.privileged;
    answer["allow_task_callers"] = settings.allow_task_callers;
    answer["service"] = settings.service;
    const auto drained = drain.reason();
    answer["drained"] = drained ? nlohmann::json(*drained) : nlohmann::json();
    answer["sick_gpus"] = to_json(gpus.sick());
    const gpu::Remarks remarks = gpus.remarks();
    answer["hot_gpus"] = remarks.hot;
    answer["outside_gpu_processes"] = to_json(remarks.outside);
    return http::Response::json(answer);
  });
}

void add_gpu_routes(http::Server& server, gpu::SickGpus& sick) {
  server.post_json("/local/gpus/ok", [&sick](const http::Request& request) {
    const nlohmann::json body = dstack::json::parse_object(request.body);
    sick.accept(dstack::json::ObjectReader(body).string("id"));
    return http::Response::empty();
  });
}

}  // namespace dstack::shim::api
