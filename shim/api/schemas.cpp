#include "shim/api/schemas.h"

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/object_reader.h"
#include "common/json/refusal.h"
#include "common/termination_reason.h"
#include "common/text/control_characters.h"

namespace dstack::shim::api {

using dstack::json::ObjectReader;
using dstack::json::refuse;
using dstack::json::refuse_nul;
using nlohmann::json;

namespace {

constexpr std::size_t kIdLimit = 128;
constexpr std::size_t kNameLimit = 128;  // with the suffix it is a folder's name
constexpr std::size_t kKeyLimit = 16384;
constexpr std::int64_t kGraceLimit = 24L * 60 * 60;

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

// Part of a container's and a folder's name: what the engine takes.
void check_name(std::string_view field, std::string_view name, std::size_t limit) {
  if (name.empty()) refuse(field, "empty");
  if (name.size() > limit) refuse(field, std::format("longer than {} characters", limit));
  if (!std::ranges::all_of(name, is_word)) refuse(field, "may hold letters, digits, \"_\", \".\" and \"-\" only");
  if (name.starts_with('.') || name.starts_with('-') || name.starts_with('_')) {
    refuse(field, "must begin with a letter or a digit");
  }
}

// One segment of a URL's path.
void check_id(std::string_view id) {
  if (id.size() > kIdLimit) refuse("id", std::format("longer than {} characters", kIdLimit));
  if (id == "." || id == ".." || !std::ranges::all_of(id, [](char c) { return is_word(c) || c == ':'; })) {
    refuse("id", "may hold letters, digits, \"_\", \".\", \":\" and \"-\" only");
  }
}

void check_host_path(std::string_view field, std::string_view path) {
  refuse_nul(field, path);
  if (!path.starts_with('/')) refuse(field, "not an absolute path");
}

// A key's line end at its end is a slip, one inside would be a second line of somebody's authorized_keys.
void trim_key(const char* field, std::string& key) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!key.empty() && is_blank(key.back())) key.pop_back();
  key.erase(key.begin(), std::ranges::find_if_not(key, is_blank));
  if (key.empty()) refuse(field, "an empty key");
  if (key.size() > kKeyLimit) refuse(field, "a key is too long");
  if (std::ranges::any_of(key, [](char c) { return text::is_control(c) && c != '\t'; })) {
    refuse(field, "a key contains a line break or another control character");
  }
}

std::int64_t read_grace(const ObjectReader& reader) { return reader.integer("timeout", 0, 0, kGraceLimit); }

}  // namespace

void check_config(task::TaskConfig& config) {
  check_id(config.id);
  check_name("name", config.name, kNameLimit);
  if (text::has_control(config.image_name)) refuse("image_name", "contains a control character");
  refuse_nul("container_user", config.container_user);
  refuse_nul("registry_username", config.registry_username);
  refuse_nul("host_ssh_user", config.host_ssh_user);
  if (!(config.cpu >= 0 && config.cpu <= 1e6)) refuse("cpu", "not a number of processors");
  for (const auto& mount : config.volume_mounts) {
    refuse_nul("volume_mounts.path", mount.path);
    check_name("volume_mounts.name", mount.name, kNameLimit);
  }
  for (const auto& volume : config.volumes) check_name("volumes.name", volume.name, kNameLimit);
  for (const auto& mount : config.instance_mounts) {
    check_host_path("instance_mounts.instance_path", mount.instance_path);
    refuse_nul("instance_mounts.path", mount.path);
  }
  for (const auto& device : config.gpu_devices) {
    check_host_path("gpu_devices.path_on_host", device.path_on_host);
    refuse_nul("gpu_devices.path_in_container", device.path_in_container);
  }
  for (std::string& key : config.host_ssh_keys) trim_key("host_ssh_keys", key);
  for (std::string& key : config.container_ssh_keys) trim_key("container_ssh_keys", key);
}

SubmitRequest read_submit(const std::string& body) {
  const json object = dstack::json::parse_object(body);
  const ObjectReader reader(object);
  SubmitRequest request;
  request.config = task::read_config(reader);
  request.registry_password = Secret(reader.string("registry_password"));
  for (const char* field : {"id", "name", "image_name"}) {
    if (reader.string(field).empty()) throw Error(ErrorKind::invalid, std::format("empty {}", field));
  }
  check_config(request.config);
  return request;
}

TerminateRequest read_terminate(const std::string& body) {
  const json object = dstack::json::parse_object(body);
  const ObjectReader reader(object);
  TerminateRequest request;
  request.ending = {.reason = reader.string("termination_reason"), .message = reader.string("termination_message")};
  request.grace = std::chrono::seconds(read_grace(reader));
  if (request.ending.reason.empty()) request.ending.reason = termination_reason::kTerminatedByServer;
  // One of the server's own words, which may be one that this version has not heard of.
  const auto is_reason = [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; };
  if (request.ending.reason.size() > 64 || !std::ranges::all_of(request.ending.reason, is_reason)) {
    refuse("termination_reason", "unknown value: " + printable(request.ending.reason));
  }
  return request;
}

InstallRequest read_install(const std::string& body) {
  const json object = dstack::json::parse_object(body);
  const ObjectReader reader(object);
  return {.name = reader.string("name"), .url = reader.string("url")};
}

bool read_force(const std::string& body) {
  const json object = dstack::json::parse_object(body);
  return ObjectReader(object).boolean("force");
}

json to_json(const task::TaskInfo& info) {
  json ports;
  if (info.ports) {
    ports = json::array();
    for (const auto& port : *info.ports) {
      json entry{{"host", port.host}, {"container", port.container}};
      // A server's task has none of another.
      if (port.protocol != "tcp") entry["protocol"] = port.protocol;
      ports.push_back(std::move(entry));
    }
  }
  json progress;
  if (info.pull_progress) {
    progress = {{"downloaded_bytes", info.pull_progress->downloaded_bytes},
                {"extracted_bytes", info.pull_progress->extracted_bytes},
                {"total_bytes", info.pull_progress->total_bytes},
                {"is_total_bytes_final", info.pull_progress->is_total_bytes_final}};
  }
  json task{{"id", info.id},
            {"status", task::name_of(info.status)},
            {"termination_reason", info.termination_reason},
            {"termination_message", info.termination_message},
            {"ports", std::move(ports)},
            {"image_pull_progress", std::move(progress)},
            {"container_name", info.container_name},
            {"container_id", info.container_id},
            {"gpus_ids", info.gpu_ids ? json(*info.gpu_ids) : json()}};
  // A server's task has none.
  if (info.pull_activity) task["image_pull_activity"] = docker::name_of(*info.pull_activity);
  return task;
}

json to_json(const std::vector<task::TaskListItem>& items) {
  json tasks = json::array();
  for (const auto& item : items) tasks.push_back({{"id", item.id}, {"status", task::name_of(item.status)}});
  return {{"tasks", std::move(tasks)}};
}

namespace {

json details_to_json(const task::TaskDetails& details) {
  json task = to_json(details.info);
  task["name"] = details.name;
  task["image_name"] = details.image_name;
  task["local"] = details.local;
  task["process"] = task::name_of(details.process);
  task["submitted_at"] = details.submitted_at ? json(*details.submitted_at) : json();
  task["runner_port"] = details.runner_port ? json(*details.runner_port) : json();
  task["ended_in"] = details.ended_in ? json(task::name_of(*details.ended_in)) : json();
  task["exit_code"] = details.exit_code ? json(*details.exit_code) : json();
  task["start_failure"] = details.start_failure;
  return task;
}

json image_to_json(const docker::ImageDetails& image, const std::string& digest) {
  return {{"id", image.id},
          {"digest", digest.empty() ? json() : json(digest)},
          {"entrypoint", image.entrypoint},
          {"cmd", image.command},
          {"env", image.environment},
          {"user", image.user},
          {"working_dir", image.working_dir},
          {"exposed_ports", image.exposed_ports}};
}

}  // namespace

json to_json(const std::vector<task::TaskDetails>& all) {
  json tasks = json::array();
  for (const auto& details : all) tasks.push_back(details_to_json(details));
  return {{"tasks", std::move(tasks)}};
}

json to_json(const task::TaskInspection& inspection) {
  json task = details_to_json(inspection.details);
  task["config"] = task::write_config(inspection.config);
  task["address"] = inspection.address.empty() ? json() : json(inspection.address);
  task["health"] = inspection.health;
  task["oom_killed"] = inspection.out_of_memory;
  task["runner_token"] = inspection.runner_token.empty() ? json() : json(inspection.runner_token.reveal());
  task["image"] = inspection.image ? image_to_json(*inspection.image, inspection.digest) : json();
  return task;
}

json to_json(const std::vector<task::OutputTime>& times) {
  json lines = json::array();
  for (const auto& line : times) {
    lines.push_back({{"time", line.time},
                     {"begin", line.begin ? json(*line.begin) : json()},
                     {"end", line.begin ? json(line.end) : json()}});
  }
  return {{"lines", std::move(lines)}};
}

json to_json(const gpu::Sicknesses& sick) {
  json gpus = json::array();
  for (const auto& [id, sickness] : sick)
    gpus.push_back({{"id", id}, {"reason", sickness.reason}, {"since", sickness.since}});
  return gpus;
}

json to_json(const std::vector<gpu::OutsideProcess>& processes) {
  json list = json::array();
  for (const auto& [gpu_id, pid, name, memory] : processes)
    list.push_back({{"gpu", gpu_id}, {"pid", pid}, {"name", name}, {"memory_mib", memory}});
  return list;
}

json to_json(const std::vector<component::ComponentInfo>& components) {
  json list = json::array();
  for (const auto& component : components) {
    list.push_back(
        {{"name", component.name}, {"version", component.version}, {"status", component::name_of(component.status)}});
  }
  return {{"components", std::move(list)}};
}

}  // namespace dstack::shim::api
