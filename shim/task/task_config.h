#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/json/fields.h"
#include "common/json/object_reader.h"
#include "shim/docker/container_spec.h"
#include "shim/task/container_config.h"
#include "shim/volume/volume_manager.h"

namespace dstack::shim::task {

struct VolumeMount {
  std::string name;
  std::string path;  // in the container
};

template <dstack::json::RecordOf<VolumeMount> Record>
void visit_fields(Record& mount, auto&& field) {
  field("name", mount.name);
  field("path", mount.path);
}

struct InstanceMount {
  std::string instance_path;  // on the host
  std::string path;           // in the container
};

template <dstack::json::RecordOf<InstanceMount> Record>
void visit_fields(Record& mount, auto&& field) {
  field("instance_path", mount.instance_path);
  field("path", mount.path);
}

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
  bool local = false;                        // a person's, not a server's
  bool remove_when_ended = false;            // a person's who does not wait for its end
  std::optional<ContainerConfig> container;  // of a local task only

  ProcessKind process() const { return container ? container->process : ProcessKind::job; }
};

// Each field's name in a request, in the journal and in docs/api/shim.yaml. A field that is added here is read and
// written; a test finds one that the document lacks.
template <dstack::json::RecordOf<TaskConfig> Record>
void visit_fields(Record& config, auto&& field) {
  field("id", config.id);
  field("name", config.name);
  field("registry_username", config.registry_username);
  field("image_name", config.image_name);
  field("container_user", config.container_user);
  field("privileged", config.privileged);
  field("gpu", config.gpu, dstack::json::Range{.minimum = -1, .maximum = 1024});
  field("cpu", config.cpu);
  field("memory", config.memory, dstack::json::Range{.minimum = 0});
  field("shm_size", config.shm_size, dstack::json::Range{.minimum = 0});
  field("network_mode", config.network_mode);
  field("volumes", config.volumes);
  field("volume_mounts", config.volume_mounts);
  field("instance_mounts", config.instance_mounts);
  field("gpu_devices", config.gpu_devices);
  field("host_ssh_user", config.host_ssh_user);
  field("host_ssh_keys", config.host_ssh_keys);
  field("container_ssh_keys", config.container_ssh_keys);
  field("local", config.local);
  field("remove_when_ended", config.remove_when_ended);
}

// The same fields in a request and in the journal. Reading checks types only; wrong ones throw Error (invalid) that
// names the field.
TaskConfig read_config(const dstack::json::ObjectReader& reader);
nlohmann::json write_config(const TaskConfig& config);

}  // namespace dstack::shim::task
