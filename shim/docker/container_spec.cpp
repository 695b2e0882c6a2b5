#include "shim/docker/container_spec.h"

#include <cmath>
#include <format>
#include <nlohmann/json.hpp>
#include <string>

#include "common/error.h"

namespace dstack::shim::docker {

namespace {

using nlohmann::json;

json mount(const BindMount& bind) {
  return {{"Type", "bind"}, {"Source", bind.source}, {"Target", bind.target}, {"ReadOnly", bind.read_only}};
}

json device(const std::string& on_host, const std::string& in_container) {
  return {{"PathOnHost", on_host}, {"PathInContainer", in_container}, {"CgroupPermissions", "rwm"}};
}

json all_mounts(const ContainerSpec& spec) {
  json mounts = json::array();
  if (!spec.runner_folder.empty()) {
    mounts.push_back(mount({.source = spec.runner_folder, .target = kRunnerFolderInContainer}));
    // The host runs this file too: what is in the container must not be able to change it.
    mounts.push_back(mount({.source = spec.runner_binary, .target = kRunnerBinaryInContainer, .read_only = true}));
  }
  for (const BindMount& bind : spec.mounts) mounts.push_back(mount(bind));
  for (const BindMount& bind : spec.gpus.mounts) mounts.push_back(mount(bind));
  return mounts;
}

void add_gpus(json& host, const GpuSettings& gpus) {
  if (!gpus.nvidia_ids.empty()) {
    json request{{"Driver", ""}, {"Count", 0}, {"DeviceIDs", gpus.nvidia_ids}};
    // A list of lists: all of one of them.
    request["Capabilities"] = json::array({gpus.nvidia_capabilities});
    host["DeviceRequests"] = json::array({request});
  }
  if (!gpus.cdi_devices.empty())
    host["DeviceRequests"] = json::array({{{"Driver", "cdi"}, {"DeviceIDs", gpus.cdi_devices}}});
  if (!gpus.added_capabilities.empty()) host["CapAdd"] = gpus.added_capabilities;
  if (!gpus.security_options.empty()) host["SecurityOpt"] = gpus.security_options;
  if (!gpus.runtime.empty()) host["Runtime"] = gpus.runtime;
  if (gpus.host_ipc) host["IpcMode"] = "host";
}

void publish_ports(json& body, json& host, const std::vector<int>& ports) {
  json exposed = json::object();
  json bindings = json::object();
  for (const int port : ports) {
    const std::string name = std::format("{}/tcp", port);
    exposed[name] = json::object();
    // Without a host port the engine takes a free one.
    bindings[name] = json::array({{{"HostIp", "127.0.0.1"}, {"HostPort", ""}}});
  }
  body["ExposedPorts"] = std::move(exposed);
  host["PortBindings"] = std::move(bindings);
}

}  // namespace

void read_field(const dstack::json::ObjectReader& reader, std::string_view name, NetworkMode& mode) {
  const std::string text = reader.string(name);
  if (!text.empty() && text != "host" && text != "bridge") {
    throw Error(ErrorKind::invalid,
                std::format("{}: neither host nor bridge: {}", reader.path_of(name), printable(text)));
  }
  mode = text == "bridge" ? NetworkMode::bridge : NetworkMode::host;
}

nlohmann::json write_field(NetworkMode mode) { return mode == NetworkMode::host ? "host" : "bridge"; }

json create_body(const ContainerSpec& spec) {
  json host{
      {"NetworkMode", spec.network == NetworkMode::host ? "host" : "bridge"},
      {"Privileged", spec.privileged},
      {"Mounts", all_mounts(spec)},
      {"NanoCpus", std::llround(spec.cpu * 1e9)},
      {"Memory", spec.memory},
      // An engine may have a limit of its own where none is named.
      {"PidsLimit", spec.pids_limit > 0 ? spec.pids_limit : -1},
      {"LogConfig", {{"Type", "json-file"}, {"Config", {{"max-size", "10m"}, {"max-file", "3"}}}}},
  };
  if (spec.disk_limit > 0) host["StorageOpt"] = {{"size", std::to_string(spec.disk_limit)}};
  if (spec.shm_size > 0) {
    host["ShmSize"] = spec.shm_size;
    // The engine's own mount of /dev/shm has noexec; the options it merges in are the other defaults.
    host["Tmpfs"] = {{"/dev/shm", std::format("exec,size={}", spec.shm_size)}};
  }
  json devices = json::array();
  for (const DeviceMapping& mapping : spec.gpus.devices) {
    devices.push_back(device(mapping.path_on_host, mapping.path_in_container));
  }
  if (spec.infiniband) {
    devices.push_back(device("/dev/infiniband", "/dev/infiniband"));
    // RDMA registers (locks) the memory that it transfers: libfabric fails with ENOMEM under the usual 64 KiB.
    host["Ulimits"] = json::array({{{"Name", "memlock"}, {"Soft", -1}, {"Hard", -1}}});
  }
  if (!devices.empty()) host["Devices"] = std::move(devices);
  add_gpus(host, spec.gpus);
  use_as_host_root(host, spec.engine);

  std::vector<std::string> environment = spec.environment;
  environment.insert(environment.end(), spec.gpus.environment.begin(), spec.gpus.environment.end());

  const std::string label = kTaskLabel;
  const std::size_t equals = label.find('=');
  json body{
      {"Image", spec.image},
      {"Labels", {{label.substr(0, equals), label.substr(equals + 1)}, {kTaskIdLabel, spec.task_id}}},
      {"Env", environment},
  };
  if (!spec.command.empty()) {
    body["Entrypoint"] = json::array({spec.command.front()});
    body["Cmd"] = std::vector<std::string>(spec.command.begin() + 1, spec.command.end());
  }
  if (spec.runner_folder.empty()) body["Labels"][kHomeLabel] = spec.home.string();
  if (!spec.user.empty()) body["User"] = spec.user;
  if (spec.network == NetworkMode::bridge) publish_ports(body, host, spec.published_ports);
  body["HostConfig"] = std::move(host);
  if (spec.settings) add_settings(body, *spec.settings);
  return body;
}

std::vector<std::string> runner_command(const RunnerOptions& options) {
  std::vector<std::string> command{kRunnerBinaryInContainer,
                                   "--log-level",
                                   options.log_level,
                                   "start",
                                   "--temp-dir",
                                   kRunnerFolderInContainer,
                                   "--http-port",
                                   std::to_string(options.http_port),
                                   "--ssh-port",
                                   std::to_string(options.ssh_port)};
  if (!options.http_address.empty()) {
    command.emplace_back("--http-address");
    command.push_back(options.http_address);
  }
  for (const std::string& key : options.authorized_keys) {
    command.emplace_back("--ssh-authorized-key");
    command.push_back(key);
  }
  if (!options.ssh_log_level.empty()) {
    command.emplace_back("--ssh-log-level");
    command.push_back(options.ssh_log_level);
  }
  if (!options.token_file.empty()) command.insert(command.end(), {"--hold", "--token-file", options.token_file});
  return command;
}

}  // namespace dstack::shim::docker
