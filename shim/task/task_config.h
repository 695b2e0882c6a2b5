#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/json/object_reader.h"
#include "shim/docker/container_spec.h"
#include "shim/volume/volume_manager.h"

namespace dstack::shim::task {

struct VolumeMount {
  std::string name;
  std::string path;  // in the container
};

struct InstanceMount {
  std::string instance_path;  // on the host
  std::string path;           // in the container
};

// What a server asks for. Everything that may be written down: the registry's password is not part of it.
struct TaskConfig {
  std::string id;
  std::string name;
  std::string registry_username;
  std::string image_name;
  std::string container_user = "root";
  bool privileged = false;
  std::int64_t gpu = 0;       // -1: all, even none; 0: none; n: exactly n
  double cpu = 0;             // cores; 0: no limit
  std::int64_t memory = 0;    // bytes; 0: no limit
  std::int64_t shm_size = 0;  // bytes; 0: the engine's default
  docker::NetworkMode network_mode = docker::NetworkMode::host;
  std::vector<volume::VolumeInfo> volumes;
  std::vector<VolumeMount> volume_mounts;
  std::vector<InstanceMount> instance_mounts;
  std::vector<docker::DeviceMapping> gpu_devices;
  std::string host_ssh_user;
  std::vector<std::string> host_ssh_keys;
  std::vector<std::string> container_ssh_keys;
  bool local = false;              // a person's, not a server's
  bool remove_when_ended = false;  // a person's who does not wait for its end
};

// The same fields in a request and in the journal. Reading checks types only; wrong ones throw Error (invalid) that
// names the field.
TaskConfig read_config(const json::ObjectReader& reader);
nlohmann::json write_config(const TaskConfig& config);

// Parts that the legacy API's requests have as well.
std::vector<volume::VolumeInfo> read_volumes(const json::ObjectReader& reader, const char* field);
std::vector<VolumeMount> read_volume_mounts(const json::ObjectReader& reader, const char* field);
std::vector<InstanceMount> read_instance_mounts(const json::ObjectReader& reader, const char* field);

}  // namespace dstack::shim::task
