#include "shim/docker/engine_answers.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <format>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/error.h"
#include "common/json/member.h"
#include "common/text/number.h"
#include "common/text/utf8.h"
#include "shim/docker/container_spec.h"

namespace dstack::shim::docker {

namespace {

using nlohmann::json;

constexpr std::size_t kMessageLimit = 2000;

bool boolean(const json& object, std::string_view name) {
  const json& value = dstack::json::member(object, name);
  return value.is_boolean() && value.get<bool>();
}

std::string without_slash(std::string name) {
  if (name.starts_with('/')) name.erase(0, 1);
  return name;
}

ContainerStatus parse_status(std::string_view status) {
  if (status == "created" || status == "configured" || status == "initialized") return ContainerStatus::created;
  if (status == "running" || status == "stopping") return ContainerStatus::running;
  if (status == "paused") return ContainerStatus::paused;
  if (status == "restarting") return ContainerStatus::restarting;
  if (status == "removing") return ContainerStatus::removing;
  if (status == "exited" || status == "stopped") return ContainerStatus::exited;
  if (status == "dead") return ContainerStatus::dead;
  return ContainerStatus::unknown;
}

std::map<std::string, std::string, std::less<>> parse_labels(const json& labels) {
  std::map<std::string, std::string, std::less<>> out;
  if (!labels.is_object()) return out;
  for (const auto& [name, value] : labels.items()) {
    if (value.is_string()) out.emplace(name, value.get<std::string>());
  }
  return out;
}

std::vector<ContainerMount> parse_mounts(const json& mounts) {
  std::vector<ContainerMount> out;
  if (!mounts.is_array()) return out;
  for (const json& mount : mounts)
    out.push_back({dstack::json::text_member(mount, "Source"), dstack::json::text_member(mount, "Destination")});
  return out;
}

std::vector<std::string> parse_strings(const json& list) {
  std::vector<std::string> out;
  if (!list.is_array()) return out;
  for (const json& entry : list) {
    if (entry.is_string()) out.push_back(entry.get<std::string>());
  }
  return out;
}

// {"10999/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}], "10022/tcp": null}
std::vector<PortMapping> parse_ports(const json& ports) {
  std::vector<PortMapping> out;
  if (!ports.is_object()) return out;
  for (const auto& [name, bindings] : ports.items()) {
    const std::size_t slash = name.find('/');
    if (slash == std::string::npos || !bindings.is_array()) continue;
    const std::optional<int> container = text::parse_number<int>(std::string_view(name).substr(0, slash));
    if (!container) continue;
    for (const json& binding : bindings) {
      if (dstack::json::text_member(binding, "HostIp").contains(':')) continue;
      if (const std::optional<int> host = text::parse_number<int>(dstack::json::text_member(binding, "HostPort")))
        out.push_back({*host, *container, name.substr(slash + 1)});
    }
  }
  std::ranges::sort(out, {}, &PortMapping::container);
  return out;
}

}  // namespace

json parse_answer(const std::string& attempt, std::string_view body) {
  json answer = json::parse(body, nullptr, false);
  if (answer.is_discarded()) {
    throw Error(ErrorKind::unavailable, std::format("{}: the answer is not JSON: {}", attempt, printable(body)));
  }
  return answer;
}

std::string one_line(std::string_view text) {
  std::string line;
  bool gap = false;
  while (!text.empty()) {
    const text::Utf8Character next = text::first_character(text);
    const std::string_view bytes = text.substr(0, next.size);
    text.remove_prefix(next.size);
    const bool valid = next.kind == text::Utf8Character::Kind::valid;
    // Also those behind ASCII, which begin a terminal's sequences as ESC does.
    if (valid && (next.character <= 0x20 || (next.character >= 0x7f && next.character < 0xa0))) {
      gap = !line.empty();
      continue;
    }
    if (line.size() + bytes.size() > kMessageLimit) return line + "…";
    if (std::exchange(gap, false)) line += ' ';
    line += bytes;
  }
  return line;
}

std::string engine_message(std::string_view body) {
  const json answer = json::parse(body, nullptr, false);
  const std::string message = dstack::json::text_member(answer, "message");
  if (message.empty()) {
    while (!body.empty() && (body.back() == '\n' || body.back() == '\r')) body.remove_suffix(1);
    return body.empty() ? "no reason given" : printable(body, kMessageLimit);
  }
  return one_line(message);
}

EngineInfo parse_info(const json& answer) {
  EngineInfo info;
  info.root_directory = dstack::json::text_member(answer, "DockerRootDir");
  info.version = dstack::json::text_member(answer, "ServerVersion");
  // "2", and "v2" from Podman.
  std::string cgroup = dstack::json::text_member(answer, "CgroupVersion");
  if (cgroup.starts_with('v')) cgroup.erase(0, 1);
  info.cgroup_version = text::parse_number<int>(cgroup).value_or(0);
  if (const json& runtimes = dstack::json::member(answer, "Runtimes"); runtimes.is_object()) {
    for (const auto& [name, runtime] : runtimes.items()) info.runtimes.push_back(name);
  }
  info.security_options = parse_strings(dstack::json::member(answer, "SecurityOptions"));
  if (const json& devices = dstack::json::member(answer, "DiscoveredDevices"); devices.is_array()) {
    for (const json& device : devices) {
      if (dstack::json::text_member(device, "Source") == "cdi")
        info.cdi_devices.push_back(dstack::json::text_member(device, "ID"));
    }
  }
  info.storage_driver = dstack::json::text_member(answer, "Driver");
  info.rootless = boolean(answer, "Rootless");
  info.keeps_containers = boolean(answer, "LiveRestoreEnabled");
  if (const json& status = dstack::json::member(answer, "DriverStatus"); status.is_array()) {
    info.containerd_images = std::ranges::any_of(status, [](const json& pair) {
      const std::vector<std::string> words = parse_strings(pair);
      return words.size() == 2 && words[0] == "driver-type" && words[1] == "io.containerd.snapshotter.v1";
    });
    for (const json& pair : status) {
      const std::vector<std::string> words = parse_strings(pair);
      if (words.size() == 2 && words[0] == "Backing Filesystem") info.backing_file_system = words[1];
    }
  }
  info.containerd_address = dstack::json::text_member(dstack::json::member(answer, "Containerd"), "Address");
  return info;
}

namespace {

// The address in the first network that has one.
std::string parse_address(const json& settings) {
  std::string address = dstack::json::text_member(settings, "IPAddress");
  const json& networks = dstack::json::member(settings, "Networks");
  if (!networks.is_object()) return address;
  for (const auto& [name, network] : networks.items()) {
    if (address.empty()) address = dstack::json::text_member(network, "IPAddress");
  }
  return address;
}

std::vector<std::string> parse_names(const json& object) {
  std::vector<std::string> names;
  if (!object.is_object()) return names;
  for (const auto& [name, value] : object.items()) names.push_back(name);
  return names;
}

}  // namespace

ContainerDetails parse_details(const json& answer) {
  ContainerDetails out;
  out.id = dstack::json::text_member(answer, "Id");
  out.name = without_slash(dstack::json::text_member(answer, "Name"));
  const json& state = dstack::json::member(answer, "State");
  out.status = parse_status(dstack::json::text_member(state, "Status"));
  if (const json& code = dstack::json::member(state, "ExitCode"); code.is_number_integer())
    out.exit_code = code.get<int>();
  out.out_of_memory = boolean(state, "OOMKilled");
  out.error = one_line(dstack::json::text_member(state, "Error"));
  out.health = dstack::json::text_member(dstack::json::member(state, "Health"), "Status");
  out.image_id = dstack::json::text_member(answer, "Image");
  out.address = parse_address(dstack::json::member(answer, "NetworkSettings"));
  const json& config = dstack::json::member(answer, "Config");
  out.labels = parse_labels(dstack::json::member(config, "Labels"));
  out.tty = boolean(config, "Tty");
  out.environment = parse_strings(dstack::json::member(config, "Env"));
  out.mounts = parse_mounts(dstack::json::member(answer, "Mounts"));
  out.ports = parse_ports(dstack::json::member(dstack::json::member(answer, "NetworkSettings"), "Ports"));
  const json& host = dstack::json::member(answer, "HostConfig");
  out.host_network = dstack::json::text_member(host, "NetworkMode") == "host";
  if (const json& devices = dstack::json::member(host, "Devices"); devices.is_array()) {
    for (const json& device : devices) out.devices.push_back(dstack::json::text_member(device, "PathOnHost"));
  }
  if (const json& requests = dstack::json::member(host, "DeviceRequests"); requests.is_array()) {
    for (const json& request : requests)
      out.device_requests.push_back(parse_strings(dstack::json::member(request, "DeviceIDs")));
  }
  return out;
}

namespace {

// Seconds since the epoch of "2026-11-28T13:00:00.123456789Z" or the same with "+01:00"; nothing for year 1, which
// stands for never.
std::optional<std::int64_t> parse_time(const std::string& text) {
  std::tm parts{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr || parts.tm_year < 70) return std::nullopt;
  rest += std::strspn(rest, ".0123456789");
  std::int64_t time = ::timegm(&parts);
  const std::string_view zone = rest;
  if (zone.size() < 6 || (zone[0] != '+' && zone[0] != '-')) return time;
  const auto hours = text::parse_number<std::int64_t>(zone.substr(1, 2));
  const auto minutes = text::parse_number<std::int64_t>(zone.substr(4, 2));
  if (hours && minutes) time -= (zone[0] == '+' ? 1 : -1) * (*hours * 3600 + *minutes * 60);
  return time;
}

}  // namespace

ImageDetails parse_image(const json& answer) {
  ImageDetails image;
  image.id = dstack::json::text_member(answer, "Id");
  image.digests = parse_strings(dstack::json::member(answer, "RepoDigests"));
  const json& config = dstack::json::member(answer, "Config");
  image.entrypoint = parse_strings(dstack::json::member(config, "Entrypoint"));
  image.command = parse_strings(dstack::json::member(config, "Cmd"));
  image.environment = parse_strings(dstack::json::member(config, "Env"));
  image.user = dstack::json::text_member(config, "User");
  image.working_dir = dstack::json::text_member(config, "WorkingDir");
  image.exposed_ports = parse_names(dstack::json::member(config, "ExposedPorts"));
  if (const json& size = dstack::json::member(answer, "Size"); size.is_number_unsigned())
    image.bytes = size.get<std::uint64_t>();
  image.tagged_at =
      parse_time(dstack::json::text_member(dstack::json::member(answer, "Metadata"), "LastTagTime")).value_or(0);
  return image;
}

EngineResource parse_resource(const json& answer) {
  EngineResource resource;
  resource.name = dstack::json::text_member(answer, "Name");
  resource.id = dstack::json::text_member(answer, "Id");
  // A volume has no other id than its name.
  if (resource.id.empty()) resource.id = resource.name;
  resource.labels = parse_labels(dstack::json::member(answer, "Labels"));
  return resource;
}

std::vector<EngineResource> parse_resources(const json& list) {
  std::vector<EngineResource> resources;
  if (!list.is_array()) return resources;
  for (const json& entry : list) resources.push_back(parse_resource(entry));
  std::erase_if(resources, [](const EngineResource& resource) { return resource.name.empty(); });
  return resources;
}

std::vector<ContainerSummary> parse_list(const json& answer) {
  std::vector<ContainerSummary> out;
  if (!answer.is_array()) return out;
  for (const json& entry : answer) {
    ContainerSummary container;
    container.id = dstack::json::text_member(entry, "Id");
    if (container.id.empty()) continue;
    const std::vector<std::string> names = parse_strings(dstack::json::member(entry, "Names"));
    if (!names.empty()) container.name = without_slash(names.front());
    container.status = parse_status(dstack::json::text_member(entry, "State"));
    if (const json& created = dstack::json::member(entry, "Created"); created.is_number_integer())
      container.created = created.get<std::int64_t>();
    container.labels = parse_labels(dstack::json::member(entry, "Labels"));
    container.mounts = parse_mounts(dstack::json::member(entry, "Mounts"));
    out.push_back(std::move(container));
  }
  return out;
}

std::optional<ContainerEvent> parse_event(std::string_view line) {
  const json event = json::parse(line, nullptr, false);
  if (dstack::json::text_member(event, "Type") != "container") return std::nullopt;
  ContainerEvent out;
  out.action = dstack::json::text_member(event, "Action");
  // Podman calls them "died" and "remove".
  if (out.action == "died") out.action = "die";
  if (out.action == "remove") out.action = "destroy";
  if (out.action != "create" && out.action != "die" && out.action != "destroy") return std::nullopt;
  const json& actor = dstack::json::member(event, "Actor");
  out.container_id = dstack::json::text_member(actor, "ID");
  if (out.container_id.empty()) return std::nullopt;
  const json& attributes = dstack::json::member(actor, "Attributes");
  out.task_id = dstack::json::text_member(attributes, kTaskIdLabel);
  if (out.action == "die") {
    out.exit_code = text::parse_number<int>(dstack::json::text_member(attributes, "exitCode"));
    if (!out.exit_code)
      out.exit_code = text::parse_number<int>(dstack::json::text_member(attributes, "containerExitCode"));
  }
  return out;
}

namespace {

// Calls `take(stream, piece)` for each frame; 1 is stdout, 2 is stderr.
template <typename Take>
void for_each_frame(std::string_view raw, Take take) {
  constexpr std::size_t kHeader = 8;
  while (raw.size() >= kHeader) {
    const int stream = static_cast<unsigned char>(raw[0]);
    std::uint32_t length = 0;
    for (std::size_t i = 4; i < kHeader; ++i) length = length << 8 | static_cast<unsigned char>(raw[i]);
    raw.remove_prefix(kHeader);
    const std::string_view piece = raw.substr(0, length);
    take(stream, piece);
    raw.remove_prefix(piece.size());
  }
}

}  // namespace

std::string join_output(std::string_view raw, bool tty) {
  if (tty) return std::string(raw);
  std::string out;
  for_each_frame(raw, [&out](int, std::string_view piece) { out += piece; });
  return out;
}

ContainerOutput split_output(std::string_view raw) {
  constexpr int kStandardError = 2;
  ContainerOutput out;
  for_each_frame(raw, [&out](int stream, std::string_view piece) {
    (stream == kStandardError ? out.errors : out.output) += piece;
  });
  return out;
}

}  // namespace dstack::shim::docker
