#include "shim/task/task_config.h"

#include <nlohmann/json.hpp>

#include "common/error.h"

namespace dstack::shim::task {

using nlohmann::json;

namespace {

docker::NetworkMode read_network_mode(const dstack::json::ObjectReader& reader) {
  const std::string mode = reader.string("network_mode");
  if (mode.empty() || mode == "host") return docker::NetworkMode::host;
  if (mode == "bridge") return docker::NetworkMode::bridge;
  throw Error(ErrorKind::invalid, reader.path_of("network_mode") + ": neither host nor bridge: " + printable(mode));
}

}  // namespace

std::vector<volume::VolumeInfo> read_volumes(const dstack::json::ObjectReader& reader, const char* field) {
  std::vector<volume::VolumeInfo> volumes;
  reader.objects(field, [&](const dstack::json::ObjectReader& volume) {
    volumes.push_back({.backend = volume.string("backend"),
                       .name = volume.string("name"),
                       .volume_id = volume.string("volume_id"),
                       .init_fs = volume.boolean("init_fs"),
                       .device_name = volume.optional_string("device_name")});
  });
  return volumes;
}

std::vector<VolumeMount> read_volume_mounts(const dstack::json::ObjectReader& reader, const char* field) {
  std::vector<VolumeMount> mounts;
  reader.objects(field, [&](const dstack::json::ObjectReader& mount) {
    mounts.push_back({.name = mount.string("name"), .path = mount.string("path")});
  });
  return mounts;
}

std::vector<InstanceMount> read_instance_mounts(const dstack::json::ObjectReader& reader, const char* field) {
  std::vector<InstanceMount> mounts;
  reader.objects(field, [&](const dstack::json::ObjectReader& mount) {
    mounts.push_back({.instance_path = mount.string("instance_path"), .path = mount.string("path")});
  });
  return mounts;
}

TaskConfig read_config(const dstack::json::ObjectReader& reader) {
  TaskConfig config;
  config.id = reader.string("id");
  config.name = reader.string("name");
  config.registry_username = reader.string("registry_username");
  config.image_name = reader.string("image_name");
  config.container_user = reader.string("container_user");
  if (config.container_user.empty()) config.container_user = "root";
  config.privileged = reader.boolean("privileged");
  config.gpu = reader.integer("gpu", 0, -1, 1024);
  config.cpu = reader.number("cpu");
  config.memory = reader.integer("memory", 0, 0);
  config.shm_size = reader.integer("shm_size", 0, 0);
  config.network_mode = read_network_mode(reader);
  config.volumes = read_volumes(reader, "volumes");
  config.volume_mounts = read_volume_mounts(reader, "volume_mounts");
  config.instance_mounts = read_instance_mounts(reader, "instance_mounts");
  reader.objects("gpu_devices", [&config](const dstack::json::ObjectReader& device) {
    config.gpu_devices.push_back(
        {.path_on_host = device.string("path_on_host"), .path_in_container = device.string("path_in_container")});
  });
  config.host_ssh_user = reader.string("host_ssh_user");
  config.host_ssh_keys = reader.strings("host_ssh_keys");
  config.container_ssh_keys = reader.strings("container_ssh_keys");
  config.local = reader.boolean("local");
  config.remove_when_ended = reader.boolean("remove_when_ended");
  return config;
}

json write_config(const TaskConfig& config) {
  json volumes = json::array();
  for (const volume::VolumeInfo& volume : config.volumes) {
    volumes.push_back({{"backend", volume.backend},
                       {"name", volume.name},
                       {"volume_id", volume.volume_id},
                       {"init_fs", volume.init_fs},
                       {"device_name", volume.device_name ? json(*volume.device_name) : json()}});
  }
  json volume_mounts = json::array();
  for (const VolumeMount& mount : config.volume_mounts) {
    volume_mounts.push_back({{"name", mount.name}, {"path", mount.path}});
  }
  json instance_mounts = json::array();
  for (const InstanceMount& mount : config.instance_mounts) {
    instance_mounts.push_back({{"instance_path", mount.instance_path}, {"path", mount.path}});
  }
  json devices = json::array();
  for (const docker::DeviceMapping& device : config.gpu_devices) {
    devices.push_back({{"path_on_host", device.path_on_host}, {"path_in_container", device.path_in_container}});
  }
  return {{"id", config.id},
          {"name", config.name},
          {"registry_username", config.registry_username},
          {"image_name", config.image_name},
          {"container_user", config.container_user},
          {"privileged", config.privileged},
          {"gpu", config.gpu},
          {"cpu", config.cpu},
          {"memory", config.memory},
          {"shm_size", config.shm_size},
          {"network_mode", config.network_mode == docker::NetworkMode::host ? "host" : "bridge"},
          {"volumes", std::move(volumes)},
          {"volume_mounts", std::move(volume_mounts)},
          {"instance_mounts", std::move(instance_mounts)},
          {"gpu_devices", std::move(devices)},
          {"host_ssh_user", config.host_ssh_user},
          {"host_ssh_keys", config.host_ssh_keys},
          {"container_ssh_keys", config.container_ssh_keys},
          {"local", config.local},
          {"remove_when_ended", config.remove_when_ended}};
}

}  // namespace dstack::shim::task
