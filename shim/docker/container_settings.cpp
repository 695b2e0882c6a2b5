#include "shim/docker/container_settings.h"

#include <algorithm>
#include <cmath>
#include <format>
#include <nlohmann/json.hpp>
#include <string_view>

namespace dstack::shim::docker {

namespace {

using nlohmann::json;

// In "NAME=value" lists the later does not reliably win, so each name is there once.
void add_environment(json& body, const std::map<std::string, std::string>& environment) {
  json entries = json::array();
  for (const json& entry : body["Env"]) {
    const std::string text = entry.get<std::string>();
    if (!environment.contains(text.substr(0, text.find('=')))) entries.push_back(text);
  }
  for (const auto& [name, value] : environment) entries.push_back(std::format("{}={}", name, value));
  body["Env"] = std::move(entries);
}

void add_process(json& body, const ContainerSettings& settings) {
  if (!settings.entrypoint.empty()) body["Entrypoint"] = settings.entrypoint;
  if (!settings.command.empty()) body["Cmd"] = settings.command;
  if (!settings.working_dir.empty()) body["WorkingDir"] = settings.working_dir;
  if (settings.stdin_open) body["OpenStdin"] = true;
  if (settings.stdin_once) body["StdinOnce"] = true;
  if (settings.tty) body["Tty"] = true;
}

void add_network(json& body, json& host, const ContainerSettings& settings) {
  if (settings.network.empty()) return;
  host["NetworkMode"] = settings.network;
  json endpoint = json::object();
  if (!settings.aliases.empty()) endpoint["Aliases"] = settings.aliases;
  body["NetworkingConfig"] = {{"EndpointsConfig", {{settings.network, std::move(endpoint)}}}};
}

void add_ports(json& body, json& host, const std::vector<PublishedPort>& ports) {
  for (const PublishedPort& port : ports) {
    body["ExposedPorts"][port.name()] = json::object();
    host["PortBindings"][port.name()].push_back(
        {{"HostIp", "127.0.0.1"}, {"HostPort", port.host == 0 ? "" : std::to_string(port.host)}});
  }
}

json nanoseconds(double seconds) { return std::llround(seconds * 1e9); }

json health_check(const HealthCheck& health) {
  if (health.none) return {{"Test", {"NONE"}}};
  json check = json::object();
  if (!health.test.empty()) check["Test"] = {"CMD-SHELL", health.test};
  if (health.interval) check["Interval"] = nanoseconds(*health.interval);
  if (health.timeout) check["Timeout"] = nanoseconds(*health.timeout);
  if (health.retries) check["Retries"] = *health.retries;
  if (health.start_period) check["StartPeriod"] = nanoseconds(*health.start_period);
  if (health.start_interval) check["StartInterval"] = nanoseconds(*health.start_interval);
  return check;
}

void add_ulimits(json& host, const std::vector<Ulimit>& ulimits) {
  if (ulimits.empty()) return;
  json& list = host["Ulimits"];
  if (!list.is_array()) list = json::array();
  for (const Ulimit& ulimit : ulimits) {
    // The engine refuses a limit that is there twice.
    for (auto known = list.begin(); known != list.end();)
      known = (*known)["Name"] == ulimit.name ? list.erase(known) : known + 1;
    list.push_back({{"Name", ulimit.name}, {"Soft", ulimit.soft}, {"Hard", ulimit.hard}});
  }
}

}  // namespace

std::string PublishedPort::name() const { return std::format("{}/{}", container, protocol); }

void add_settings(json& body, const ContainerSettings& settings) {
  json& host = body["HostConfig"];
  add_environment(body, settings.environment);
  add_process(body, settings);
  if (settings.init) host["Init"] = true;
  for (const VolumeMount& volume : settings.volumes)
    host["Mounts"].push_back(
        {{"Type", "volume"}, {"Source", volume.name}, {"Target", volume.target}, {"ReadOnly", volume.read_only}});
  add_network(body, host, settings);
  add_ports(body, host, settings.ports);
  if (settings.health) body["Healthcheck"] = health_check(*settings.health);
  if (!settings.hostname.empty()) body["Hostname"] = settings.hostname;
  for (const auto& [name, address] : settings.hosts) host["ExtraHosts"].push_back(std::format("{}:{}", name, address));
  for (const auto& [name, value] : settings.labels) body["Labels"][name] = value;
  add_ulimits(host, settings.ulimits);
  for (const auto& [path, options] : settings.tmpfs) host["Tmpfs"][path] = options;
  for (const std::string& capability : settings.added_capabilities) host["CapAdd"].push_back(capability);
}

}  // namespace dstack::shim::docker
