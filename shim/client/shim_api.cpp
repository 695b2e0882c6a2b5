#include "shim/client/shim_api.h"

#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/object_reader.h"

namespace dstack::shim::client {

using nlohmann::json;

namespace {

constexpr std::chrono::seconds answer_limit{30};

}  // namespace

ShimApi::ShimApi(int port, int runner_http_port)
    : port_(port),
      runner_http_port_(runner_http_port),
      client_({.base_url = std::format("http://127.0.0.1:{}", port)}) {}

void ShimApi::submit(const json& task) { call("POST", "/api/tasks", task.dump()); }

TaskView ShimApi::task(const std::string& id) {
  const json answer = call("GET", "/api/tasks/" + id, "");
  const dstack::json::ObjectReader reader(answer);
  TaskView view{.status = reader.string("status"),
                .termination_reason = reader.string("termination_reason"),
                .termination_message = reader.string("termination_message")};
  reader.objects("ports", [&](const dstack::json::ObjectReader& port) {
    if (port.integer("container") == runner_http_port_) view.runner_port = static_cast<int>(port.integer("host"));
  });
  view.pulling_known = reader.object("image_pull_progress", [&view](const dstack::json::ObjectReader& progress) {
    view.downloaded = progress.integer("downloaded_bytes");
    view.total = progress.integer("total_bytes");
    view.total_is_final = progress.boolean("is_total_bytes_final");
  });
  return view;
}

void ShimApi::terminate(const std::string& id, const std::string& reason, int grace_seconds) {
  const json body = {{"termination_reason", reason}, {"termination_message", ""}, {"timeout", grace_seconds}};
  call("POST", std::format("/api/tasks/{}/terminate", id), body.dump());
}

void ShimApi::remove(const std::string& id) { call("POST", std::format("/api/tasks/{}/remove", id), ""); }

json ShimApi::call(const std::string& method, const std::string& path, const std::string& body) {
  http::ClientResponse response;
  try {
    response = client_.send({.method = method, .path = path, .body = body, .total_limit = answer_limit});
  } catch (const Error& error) {
    throw Error(error.kind(), std::format("no dstack-shim answers on port {}: {}", port_, error.what()));
  }
  if (response.status != 200) {
    while (response.body.ends_with('\n')) response.body.pop_back();
    throw Error(ErrorKind::unavailable,
                response.body.empty() ? std::format("the shim answers {}", response.status) : response.body);
  }
  return response.body.empty() ? json::object() : dstack::json::parse_object(response.body);
}

}  // namespace dstack::shim::client
