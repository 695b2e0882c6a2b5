#include "shim/task/container_config.h"

#include <algorithm>
#include <array>
#include <format>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "common/error.h"
#include "common/json/refusal.h"
#include "common/text/control_characters.h"

namespace dstack::shim::task {

using dstack::json::ObjectReader;
using dstack::json::refuse;
using nlohmann::json;

namespace {

constexpr std::size_t kNameLimit = 200;
constexpr double kLongestTime = 1e6;  // seconds

constexpr std::array<std::pair<std::string_view, ProcessKind>, 3> kProcesses{
    {{"job", ProcessKind::job}, {"hold", ProcessKind::hold}, {"image", ProcessKind::image}}};
constexpr std::array<std::pair<std::string_view, StartMoment>, 2> kStartMoments{
    {{"now", StartMoment::now}, {"later", StartMoment::later}}};
constexpr std::array<std::pair<std::string_view, docker::PullPolicy>, 4> kPolicies{
    {{"missing", docker::PullPolicy::missing},
     {"always", docker::PullPolicy::always},
     {"never", docker::PullPolicy::never},
     {"newer", docker::PullPolicy::newer}}};

// One of the names, the first for none.
template <typename Value, std::size_t Count>
Value read_choice(const ObjectReader& reader, const char* field,
                  const std::array<std::pair<std::string_view, Value>, Count>& choices) {
  const std::string name = reader.string(field);
  if (name.empty()) return choices.front().second;
  std::string known;
  for (const auto& [choice, value] : choices) {
    if (choice == name) return value;
    known += std::format("{}{}", known.empty() ? "" : ", ", choice);
  }
  refuse(reader.path_of(field), std::format("{} is not one of {}", printable(name), known));
}

template <typename Value, std::size_t Count>
std::string_view name_of_choice(Value value, const std::array<std::pair<std::string_view, Value>, Count>& choices) {
  return std::ranges::find(choices, value, &std::pair<std::string_view, Value>::second)->first;
}

// What no program can be given.
const std::string& without_nul(const std::string& field, const std::string& text) {
  if (text.contains('\0')) refuse(field, "contains a NUL byte");
  // NOLINTNEXTLINE(bugprone-return-const-ref-from-parameter): a part of the request that is parsed
  return text;
}

const std::string& one_line(const std::string& field, const std::string& text) {
  if (text::has_control(text)) refuse(field, "contains a control character");
  // NOLINTNEXTLINE(bugprone-return-const-ref-from-parameter): a part of the request that is parsed
  return text;
}

// What the engine takes as the name of a volume or a network.
std::string read_name(const ObjectReader& reader, const char* field) {
  std::string name = reader.string(field);
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  const bool fits = name.size() <= kNameLimit && !name.empty() && is_plain(name.front()) &&
                    std::ranges::all_of(name, [&](char c) { return is_plain(c) || c == '_' || c == '.' || c == '-'; });
  if (!fits) refuse(reader.path_of(field), std::format("{} is not a name that the engine accepts", printable(name)));
  return name;
}

std::string read_absolute(const ObjectReader& reader, const char* field) {
  std::string path = reader.string(field);
  without_nul(reader.path_of(field), path);
  if (!path.starts_with('/')) refuse(reader.path_of(field), std::format("{} is not an absolute path", printable(path)));
  return path;
}

std::vector<std::string> read_arguments(const ObjectReader& reader, const char* field) {
  std::vector<std::string> arguments = reader.strings(field);
  for (const std::string& argument : arguments) without_nul(reader.path_of(field), argument);
  return arguments;
}

std::map<std::string, std::string> read_environment(const ObjectReader& reader) {
  auto environment = reader.string_map("env");
  for (const auto& [name, value] : environment) {
    if (name.empty() || name.contains('='))
      refuse(reader.path_of("env"), printable(name) + " is not a valid variable name");
    without_nul(reader.path_of("env"), name);
    without_nul(reader.path_of("env"), value);
  }
  return environment;
}

std::vector<docker::BindMount> read_mounts(const ObjectReader& reader) {
  std::vector<docker::BindMount> mounts;
  reader.objects("mounts", [&mounts](const ObjectReader& mount) {
    mounts.push_back({.source = read_absolute(mount, "source"),
                      .target = read_absolute(mount, "target"),
                      .read_only = mount.boolean("read_only")});
  });
  return mounts;
}

void read_volumes(const ObjectReader& reader, ContainerConfig& config) {
  reader.objects("volumes", [&config](const ObjectReader& volume) {
    config.settings.volumes.push_back({.name = read_name(volume, "name"),
                                       .target = read_absolute(volume, "target"),
                                       .read_only = volume.boolean("read_only")});
    if (volume.boolean("keep")) config.kept_volumes.push_back(config.settings.volumes.back().name);
  });
}

void read_network(const ObjectReader& reader, docker::ContainerSettings& settings) {
  settings.aliases = reader.strings("aliases");
  for (const std::string& alias : settings.aliases) {
    if (alias.empty()) refuse(reader.path_of("aliases"), "holds an empty name");
    one_line(reader.path_of("aliases"), alias);
  }
  if (reader.string("network").empty()) {
    if (!settings.aliases.empty()) refuse(reader.path_of("aliases"), "need a network");
    return;
  }
  settings.network = read_name(reader, "network");
  // These mean something else to the engine than a network of that name.
  static const std::set<std::string, std::less<>> special{"host", "none", "default", "bridge"};
  if (special.contains(settings.network))
    refuse(reader.path_of("network"), printable(settings.network) + " is not the name of a bridge network");
}

std::vector<docker::PublishedPort> read_ports(const ObjectReader& reader) {
  std::vector<docker::PublishedPort> ports;
  reader.objects("ports", [&ports](const ObjectReader& port) {
    docker::PublishedPort published{.container = static_cast<int>(port.integer("container", 0, 1, 65535)),
                                    .host = static_cast<int>(port.integer("host", 0, 0, 65535)),
                                    .protocol = port.string("protocol", "tcp")};
    if (published.protocol != "tcp" && published.protocol != "udp")
      refuse(port.path_of("protocol"), printable(published.protocol) + " is neither tcp nor udp");
    ports.push_back(std::move(published));
  });
  return ports;
}

std::optional<double> read_seconds(const ObjectReader& reader, const char* field) {
  if (!reader.has(field)) return std::nullopt;
  const double seconds = reader.number(field);
  if (!(seconds >= 0 && seconds <= kLongestTime)) refuse(reader.path_of(field), "not a number of seconds");
  // The engine takes a thousandth at least, and 0 for the default.
  if (seconds > 0 && seconds < 0.001) refuse(reader.path_of(field), "less than a millisecond");
  return seconds;
}

std::optional<docker::HealthCheck> read_health(const ObjectReader& reader) {
  std::optional<docker::HealthCheck> health;
  reader.object("health", [&health](const ObjectReader& check) {
    health.emplace();
    health->none = check.boolean("none");
    health->test = check.string("test");
    without_nul(check.path_of("test"), health->test);
    health->interval = read_seconds(check, "interval");
    health->timeout = read_seconds(check, "timeout");
    health->start_period = read_seconds(check, "start_period");
    health->start_interval = read_seconds(check, "start_interval");
    if (check.has("retries")) health->retries = static_cast<int>(check.integer("retries", 0, 0, 1000000));
  });
  return health;
}

std::vector<docker::Ulimit> read_ulimits(const ObjectReader& reader) {
  std::vector<docker::Ulimit> ulimits;
  reader.objects("ulimits", [&ulimits](const ObjectReader& ulimit) {
    docker::Ulimit limit{
        .name = ulimit.string("Name"), .soft = ulimit.integer("Soft", 0, -1), .hard = ulimit.integer("Hard", 0, -1)};
    if (limit.name.empty()) refuse(ulimit.path_of("Name"), "is empty");
    one_line(ulimit.path_of("Name"), limit.name);
    if (limit.hard != -1 && (limit.soft == -1 || limit.soft > limit.hard))
      refuse(ulimit.path_of("Soft"), "is more than Hard");
    ulimits.push_back(std::move(limit));
  });
  return ulimits;
}

std::map<std::string, std::string> read_labels(const ObjectReader& reader) {
  auto labels = reader.string_map("labels");
  for (const auto& [name, value] : labels) {
    // Which containers are tasks' is told by these.
    if (name.empty() || name.starts_with("ai.dstack."))
      refuse(reader.path_of("labels"), std::format("{} cannot be set", printable(name)));
    without_nul(reader.path_of("labels"), name);
    without_nul(reader.path_of("labels"), value);
  }
  return labels;
}

std::map<std::string, std::string> read_hosts(const ObjectReader& reader) {
  auto hosts = reader.string_map("hosts");
  for (const auto& [name, address] : hosts) {
    const bool good = !name.empty() && !name.contains(':') && !address.empty();
    if (!good) refuse(reader.path_of("hosts"), std::format("{}: not a name and an address", printable(name)));
    one_line(reader.path_of("hosts"), name);
    one_line(reader.path_of("hosts"), address);
  }
  return hosts;
}

std::map<std::string, std::string> read_tmpfs(const ObjectReader& reader) {
  auto tmpfs = reader.string_map("tmpfs");
  for (const auto& [path, options] : tmpfs) {
    if (!path.starts_with('/')) refuse(reader.path_of("tmpfs"), printable(path) + " is not an absolute path");
    without_nul(reader.path_of("tmpfs"), path);
    one_line(reader.path_of("tmpfs"), options);
  }
  return tmpfs;
}

void read_process(const ObjectReader& reader, ContainerConfig& config) {
  config.process = read_choice(reader, "process", kProcesses);
  config.start = read_choice(reader, "start", kStartMoments);
  docker::ContainerSettings& settings = config.settings;
  settings.entrypoint = read_arguments(reader, "entrypoint");
  settings.command = read_arguments(reader, "command");
  settings.stdin_open = reader.boolean("stdin");
  // As for docker run: a client that attaches before the start has the only input.
  settings.stdin_once = settings.stdin_open && config.start == StartMoment::later;
  settings.tty = reader.boolean("tty");
  settings.init = reader.boolean("init");
  if (!reader.string("working_dir").empty()) settings.working_dir = read_absolute(reader, "working_dir");
  if (config.process == ProcessKind::image) return;
  const std::array<std::pair<const char*, bool>, 5> of_images{{{"entrypoint", !settings.entrypoint.empty()},
                                                               {"command", !settings.command.empty()},
                                                               {"stdin", settings.stdin_open},
                                                               {"tty", settings.tty},
                                                               {"init", settings.init}}};
  for (const auto& [field, given] : of_images) {
    if (given) refuse(reader.path_of(field), "is for a task whose process is \"image\"");
  }
}

json write_health(const docker::HealthCheck& health) {
  json check{{"none", health.none}, {"test", health.test}};
  if (health.interval) check["interval"] = *health.interval;
  if (health.timeout) check["timeout"] = *health.timeout;
  if (health.retries) check["retries"] = *health.retries;
  if (health.start_period) check["start_period"] = *health.start_period;
  if (health.start_interval) check["start_interval"] = *health.start_interval;
  return check;
}

}  // namespace

bool ContainerConfig::keeps(const std::string& volume) const { return std::ranges::contains(kept_volumes, volume); }

std::string_view name_of(ProcessKind process) { return name_of_choice(process, kProcesses); }

ContainerConfig read_container(const ObjectReader& reader) {
  ContainerConfig config;
  read_process(reader, config);
  docker::ContainerSettings& settings = config.settings;
  settings.environment = read_environment(reader);
  config.mounts = read_mounts(reader);
  read_volumes(reader, config);
  read_network(reader, settings);
  settings.ports = read_ports(reader);
  settings.health = read_health(reader);
  settings.hostname = one_line(reader.path_of("hostname"), reader.string("hostname"));
  settings.hosts = read_hosts(reader);
  settings.labels = read_labels(reader);
  settings.ulimits = read_ulimits(reader);
  settings.tmpfs = read_tmpfs(reader);
  settings.added_capabilities = reader.strings("cap_add");
  for (const std::string& capability : settings.added_capabilities) one_line(reader.path_of("cap_add"), capability);
  config.pull = read_choice(reader, "pull", kPolicies);
  if (!reader.string("owner").empty()) config.owner = read_absolute(reader, "owner");
  return config;
}

json write_container(const ContainerConfig& config) {
  const docker::ContainerSettings& settings = config.settings;
  json mounts = json::array();
  for (const docker::BindMount& mount : config.mounts)
    mounts.push_back({{"source", mount.source}, {"target", mount.target}, {"read_only", mount.read_only}});
  json volumes = json::array();
  for (const docker::VolumeMount& volume : settings.volumes)
    volumes.push_back({{"name", volume.name},
                       {"target", volume.target},
                       {"read_only", volume.read_only},
                       {"keep", config.keeps(volume.name)}});
  json ports = json::array();
  for (const docker::PublishedPort& port : settings.ports)
    ports.push_back({{"container", port.container}, {"host", port.host}, {"protocol", port.protocol}});
  json ulimits = json::array();
  for (const docker::Ulimit& ulimit : settings.ulimits)
    ulimits.push_back({{"Name", ulimit.name}, {"Soft", ulimit.soft}, {"Hard", ulimit.hard}});
  return {{"process", name_of(config.process)},
          {"start", name_of_choice(config.start, kStartMoments)},
          {"entrypoint", settings.entrypoint},
          {"command", settings.command},
          {"working_dir", settings.working_dir},
          {"stdin", settings.stdin_open},
          {"tty", settings.tty},
          {"init", settings.init},
          {"mounts", std::move(mounts)},
          {"volumes", std::move(volumes)},
          {"network", settings.network},
          {"aliases", settings.aliases},
          {"ports", std::move(ports)},
          {"health", settings.health ? write_health(*settings.health) : json()},
          {"hostname", settings.hostname},
          {"hosts", settings.hosts},
          {"labels", settings.labels},
          {"ulimits", std::move(ulimits)},
          {"tmpfs", settings.tmpfs},
          {"cap_add", settings.added_capabilities},
          {"pull", name_of_choice(config.pull, kPolicies)},
          {"owner", config.owner.string()}};
}

}  // namespace dstack::shim::task
