#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/json/fields.h"
#include "shim/docker/container_settings.h"
#include "shim/docker/engine_mode.h"

namespace dstack::shim::docker {

inline constexpr const char* kTaskLabel = "ai.dstack.shim.is-task=true";
inline constexpr const char* kTaskIdLabel = "ai.dstack.shim.task-id";
// The home of the shim that made it: of a container without a runner, a network, a volume.
inline constexpr const char* kHomeLabel = "ai.dstack.shim.home";
inline constexpr const char* kRunnerFolderInContainer = "/tmp/runner";
inline constexpr const char* kRunnerBinaryInContainer = "/usr/local/bin/dstack-runner";

enum class NetworkMode { host, bridge };

// As a field of a record (common/json/fields.h): "host", which is the default, or "bridge".
void read_field(const dstack::json::ObjectReader& reader, std::string_view name, NetworkMode& mode);
nlohmann::json write_field(NetworkMode mode);

// `source` on the host, `target` in the container; both byte for byte.
struct BindMount {
  std::string source;
  std::string target;
  bool read_only = false;
};

struct DeviceMapping {
  std::string path_on_host;
  std::string path_in_container;
};

template <dstack::json::RecordOf<DeviceMapping> Record>
void visit_fields(Record& device, auto&& field) {
  field("path_on_host", device.path_on_host);
  field("path_in_container", device.path_in_container);
}

// What the GPUs of a task add to its container. The vendor's code fills it in; here it is only written down.
struct GpuSettings {
  std::vector<DeviceMapping> devices;   // cgroup permissions rwm
  std::vector<std::string> nvidia_ids;  // a DeviceRequest by UUID
  std::vector<std::string> nvidia_capabilities;
  std::vector<std::string> cdi_devices;  // "nvidia.com/gpu=0": a DeviceRequest by name, in place of that by UUID
  std::vector<BindMount> mounts;
  std::vector<std::string> environment;  // "NAME=value"
  std::vector<std::string> added_capabilities;
  std::vector<std::string> security_options;
  std::string runtime;  // empty: the engine's default
  bool host_ipc = false;
};

struct ContainerSpec {
  std::string task_id;
  std::string image;  // ImageReference::name()
  std::string user;   // empty: the image's own
  bool privileged = false;
  double cpu = 0;               // cores; 0: no limit
  std::int64_t memory = 0;      // bytes; 0: no limit
  std::int64_t shm_size = 0;    // bytes; 0: the engine's default
  std::int64_t pids_limit = 0;  // processes and threads; 0: no limit
  std::int64_t disk_limit = 0;  // bytes of its own layer; 0: no limit
  NetworkMode network = NetworkMode::host;
  std::filesystem::path runner_folder;   // on the host, → /tmp/runner; empty: a container without a runner
  std::filesystem::path runner_binary;   // on the host, → /usr/local/bin/dstack-runner, read-only
  std::vector<BindMount> mounts;         // volumes and instance mounts
  std::vector<std::string> environment;  // "NAME=value"
  std::vector<std::string> command;      // runner_command(); empty: the image's process
  std::vector<int> published_ports;      // of the container; on 127.0.0.1 at ephemeral ports, in bridge mode only
  bool infiniband = false;               // the host has /dev/infiniband
  GpuSettings gpus;
  EngineMode engine;
  std::filesystem::path home;                 // of the shim, for a container without a runner
  std::optional<ContainerSettings> settings;  // of a local task that asks for more
};

// The body of the engine's POST /containers/create. No shell sees any of it.
nlohmann::json create_body(const ContainerSpec& spec);

struct RunnerOptions {
  std::string log_level = "info";
  int http_port = 10999;
  int ssh_port = 10022;
  std::string http_address;  // empty: every interface
  std::vector<std::string> authorized_keys;
  std::string ssh_log_level;  // empty: the runner's default
  std::string token_file;     // in the container; where set, the runner holds the container for exec
};

// The runner's argument vector, [0] being its path in the container. In host mode the address is "localhost".
std::vector<std::string> runner_command(const RunnerOptions& options);

}  // namespace dstack::shim::docker
