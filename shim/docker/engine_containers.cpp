// Containers: making, starting, ending and looking at them.
#include <ctime>

#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/json/member.h"
#include "shim/docker/engine_answers.h"
#include "shim/docker/engine_client.h"
#include "shim/docker/engine_limits.h"

namespace dstack::shim::docker {

namespace {

using namespace std::chrono_literals;
using nlohmann::json;

std::string container_path(std::string_view id, std::string_view rest) {
  return std::format("/containers/{}{}", http::encode_url_component(id), rest);
}

std::string label_filter(const std::string& label) {
  return http::encode_url_component(dstack::json::dump(json{{"label", json::array({label})}}));
}

// "Mon, 02 Jan 2006 15:04:05 GMT"
std::optional<std::chrono::sys_seconds> parse_date(const std::string& text) {
  std::tm parts{};
  if (::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts) == nullptr) return std::nullopt;
  return std::chrono::sys_seconds(std::chrono::seconds(::timegm(&parts)));
}

}  // namespace

std::string EngineClient::create(const std::string& name, const json& body, const Call& call) {
  const std::string attempt = "create container " + name;
  http::ClientRequest request{.method = "POST", .path = "/containers/create?name=" + http::encode_url_component(name)};
  request.body = dstack::json::dump(body);
  const std::string body_of_answer = [&] {
    try {
      return send(attempt, std::move(request), call, 2min).body;
    } catch (const Error& error) {
      // Podman says so with a 500.
      if (error.kind() != ErrorKind::internal || !std::string_view(error.what()).contains("already in use")) throw;
      throw Error(ErrorKind::conflict, error.what());
    }
  }();
  const json answer = parse_answer(attempt, body_of_answer);
  std::string id = dstack::json::text_member(answer, "Id");
  if (id.empty()) {
    throw Error(ErrorKind::unavailable, attempt + ": the answer has no container id");
  }
  return id;
}

void EngineClient::start(const std::string& id, const Call& call) {
  send("start container " + id, {.method = "POST", .path = container_path(id, "/start")}, call, 5min, {304});
}

void EngineClient::stop(const std::string& id, std::chrono::seconds grace, const Call& call) {
  send("stop container " + id, {.method = "POST", .path = container_path(id, std::format("/stop?t={}", grace.count()))},
       call, grace + kQuickCall, {304});
}

void EngineClient::kill(const std::string& id, const Call& call) {
  try {
    send("kill container " + id, {.method = "POST", .path = container_path(id, "/kill")}, call, kQuickCall);
  } catch (const Error& error) {
    // That is how the engine says that it does not run, among other things; Podman takes a 500 for it.
    if (error.kind() != ErrorKind::conflict && error.kind() != ErrorKind::internal) throw;
    const std::optional<ContainerDetails> container = inspect(id, call);
    if (container && !has_ended(container->status) && container->status != ContainerStatus::created) throw;
  }
}

void EngineClient::remove(const std::string& id, const Call& call) {
  const std::string attempt = "remove container " + id;
  const http::ClientResponse response =
      send(attempt, {.method = "DELETE", .path = container_path(id, "?force=1&v=1")}, call, 2min, {404, 409});
  if (response.status != 409) return;
  // "removal … is already in progress": done when that one is.
  if (!engine_message(response.body).contains("already in progress")) {
    throw Error(ErrorKind::conflict, std::format("{}: {}", attempt, engine_message(response.body)));
  }
  send(attempt, {.method = "POST", .path = container_path(id, "/wait?condition=removed")}, call, 2min, {404});
}

std::optional<ContainerDetails> EngineClient::inspect(const std::string& id, const Call& call) {
  const std::string attempt = "look at container " + id;
  const http::ClientResponse response = send(attempt, {.path = container_path(id, "/json")}, call, kQuickCall, {404});
  if (response.status == 404) return std::nullopt;
  ContainerDetails details = parse_details(parse_answer(attempt, response.body));
  if (details.id.empty()) throw Error(ErrorKind::unavailable, attempt + ": the answer has no container id");
  return details;
}

std::optional<ContainerUsage> EngineClient::usage(const std::string& id, const Call& call) {
  const std::string attempt = "ask for the usage of container " + id;
  // One sample: for two the engine would wait a second.
  const http::ClientResponse response =
      send(attempt, {.path = container_path(id, "/stats?stream=0&one-shot=1")}, call, kQuickCall, {404, 409});
  if (response.status != 200) return std::nullopt;
  return parse_usage(parse_answer(attempt, response.body));
}

std::vector<ContainerSummary> EngineClient::list(const std::string& label, const Call& call,
                                                 std::chrono::sys_seconds* at) {
  const std::string attempt = "list the containers";
  const os::SteadyTime begin = clock_.now();
  const http::ClientResponse response =
      send(attempt, {.path = "/containers/json?all=1&filters=" + label_filter(label)}, call, kQuickCall);
  const json answer = parse_answer(attempt, response.body);
  if (!answer.is_array()) throw Error(ErrorKind::unavailable, attempt + ": the answer is not a list");
  if (at != nullptr) {
    const auto date = response.headers.find("date");
    const auto told = date == response.headers.end() ? std::nullopt : parse_date(date->second);
    // The date is that of the end of the engine's work, in whole seconds.
    const auto took = std::chrono::ceil<std::chrono::seconds>(clock_.now() - begin);
    *at = told.value_or(std::chrono::floor<std::chrono::seconds>(clock_.wall())) - took - 1s;
  }
  return parse_list(answer);
}

int EngineClient::wait(const std::string& id, const Call& call) {
  const std::string attempt = "wait for container " + id;
  const json answer = parse_answer(
      attempt, send(attempt, {.method = "POST", .path = container_path(id, "/wait")}, call, kUnboundedCall).body);
  if (!answer.is_object() || !answer.contains("StatusCode") || !answer["StatusCode"].is_number_integer()) {
    throw Error(ErrorKind::unavailable, attempt + ": the answer has no exit code");
  }
  return answer["StatusCode"].get<int>();
}

}  // namespace dstack::shim::docker
