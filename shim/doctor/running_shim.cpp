#include "shim/doctor/running_shim.h"

#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/http/client.h"
#include "shim/docker/engine_address.h"

namespace dstack::shim::doctor {

namespace {

using nlohmann::json;

constexpr std::chrono::seconds kSettingsLimit{3};

json ask(const Host& host) {
  try {
    http::Client client({.base_url = std::format("http://127.0.0.1:{}", host.shim_port)}, *host.clock);
    const http::ClientResponse answer = client.send({.path = "/local/settings", .total_limit = kSettingsLimit});
    return answer.status == 200 ? json::parse(answer.body, nullptr, false) : json();
  } catch (const std::exception&) {
    return {};
  }
}

// Takes a member over if it is there and of this type.
template <typename Value>
void take(const json& settings, const char* name, Value& value) {
  const auto found = settings.find(name);
  if (found == settings.end()) return;
  if constexpr (std::is_same_v<Value, bool>) {
    if (found->is_boolean()) value = found->get<bool>();
  } else if constexpr (std::is_integral_v<Value>) {
    if (found->is_number_integer()) value = found->get<Value>();
  } else {
    if (found->is_string() && !found->get<std::string>().empty()) value = found->get<std::string>();
  }
}

void take_gpus(const json& settings, Host& host) {
  const auto objects = [&settings](const char* name) {
    const auto found = settings.find(name);
    return found != settings.end() && found->is_array() ? *found : json::array();
  };
  for (const json& gpu : objects("sick_gpus")) {
    std::pair<std::string, std::string> entry;
    take(gpu, "id", entry.first);
    take(gpu, "reason", entry.second);
    host.sick_gpus.push_back(std::move(entry));
  }
  for (const json& id : objects("hot_gpus")) {
    if (id.is_string()) host.hot_gpus.push_back(id.get<std::string>());
  }
  for (const json& process : objects("outside_gpu_processes")) {
    shim::gpu::OutsideProcess entry;
    take(process, "gpu", entry.gpu_id);
    take(process, "pid", entry.pid);
    take(process, "name", entry.name);
    take(process, "memory_mib", entry.memory);
    host.outside_gpu_processes.push_back(std::move(entry));
  }
}

void take_engine(const json& settings, Host& host) {
  std::string address;
  take(settings, "engine_address", address);
  constexpr std::string_view scheme = "unix://";
  // Of another kind the certificates are not known.
  if (!address.starts_with(scheme) || (host.engine && host.engine->address() == address)) return;
  host.engine =
      std::make_shared<docker::EngineClient>(docker::engine_at_socket(address.substr(scheme.size())), *host.clock);
}

}  // namespace

void take_settings_of_running_shim(Host& host) {
  const json settings = ask(host);
  if (!settings.is_object()) return;
  take(settings, "home", host.home);
  take(settings, "runner_binary_path", host.runner_binary);
  take(settings, "runner_http_port", host.runner_http_port);
  take(settings, "runner_ssh_port", host.runner_ssh_port);
  take(settings, "allow_task_callers", host.allow_task_callers);
  if (const auto drained = settings.find("drained"); drained != settings.end() && drained->is_string()) {
    host.drained = drained->get<std::string>();
  }
  take_gpus(settings, host);
  int pid = 0;
  take(settings, "pid", pid);
  if (pid > 0) host.shim_pid = pid;
  take_engine(settings, host);
}

}  // namespace dstack::shim::doctor
