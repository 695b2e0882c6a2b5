#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/secret.h"

namespace dstack::shim::docker {

// What the engine is told and what it tells, without the JSON around it.

struct EngineInfo {
  std::string root_directory;  // "/var/lib/docker"
  std::string version;         // "20.10.24"
  std::string api_version;     // what is spoken with it
  int cgroup_version = 0;      // 1 or 2; 0 if the engine does not say
  bool podman = false;
  std::vector<std::string> runtimes;          // that containers may ask for: "runc", "nvidia"
  std::vector<std::string> security_options;  // "name=seccomp,profile=builtin", "name=rootless"
  std::vector<std::string> cdi_devices;       // "nvidia.com/gpu=0"; from Docker 28.2 on
  bool rootless = false;                      // from Podman; Docker says it among security_options
  bool keeps_containers = false;              // live-restore: a restart of the engine ends no container
  bool containerd_images = false;             // images are in containerd's store
  std::string containerd_address;             // of its socket; from Docker 27.1 on
  std::string storage_driver;                 // "overlay2"
  std::string backing_file_system;            // that it lies on: "xfs", "extfs"; empty if the driver has none
};

// For a registry. A token is in place of the password: an identity token is exchanged for tokens of the registry, a
// registry token is sent as it is.
struct Credentials {
  std::string username;
  Secret password;
  Secret identity_token;
  Secret registry_token;

  bool empty() const {
    return username.empty() && password.empty() && identity_token.empty() && registry_token.empty();
  }
  friend bool operator==(const Credentials&, const Credentials&) = default;
};

struct ContainerMount {
  std::string source;
  std::string destination;
};

struct PortMapping {
  int host = 0;
  int container = 0;
  std::string protocol = "tcp";

  friend bool operator==(const PortMapping&, const PortMapping&) = default;
};

enum class ContainerStatus { created, running, paused, restarting, removing, exited, dead, unknown };

// Whether its processes have ended for good, as far as the engine knows.
constexpr bool has_ended(ContainerStatus status) {
  return status == ContainerStatus::exited || status == ContainerStatus::dead;
}

// One line of the engine's list.
struct ContainerSummary {
  std::string id;
  std::string name;  // without the slash
  ContainerStatus status = ContainerStatus::unknown;
  std::optional<std::int64_t> created;  // seconds since the epoch
  std::map<std::string, std::string, std::less<>> labels;
  std::vector<ContainerMount> mounts;
};

struct ContainerDetails {
  std::string id;
  std::string name;
  ContainerStatus status = ContainerStatus::unknown;
  int exit_code = 0;
  bool out_of_memory = false;  // OOMKilled
  std::string error;           // why it could not be started, in the engine's words
  std::map<std::string, std::string, std::less<>> labels;
  std::vector<ContainerMount> mounts;
  std::vector<PortMapping> ports;  // IPv4, in the order of the container's ports
  bool host_network = false;
  bool tty = false;
  std::string image_id;
  std::string address;  // in its network, IPv4; empty in the host's
  std::string health;   // "starting", "healthy", "unhealthy"; "none" or empty without a check
  // What the reference's containers tell of their GPUs.
  std::vector<std::string> environment;
  std::vector<std::string> devices;                       // paths on the host
  std::vector<std::vector<std::string>> device_requests;  // the ids of each request
};

// An image as the engine has it.
struct ImageDetails {
  std::string id;
  std::vector<std::string> digests;  // "registry/name@sha256:…", one for each repository it was pulled from
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;
  std::vector<std::string> environment;  // "NAME=value"
  std::string user;
  std::string working_dir;
  std::vector<std::string> exposed_ports;  // "8000/tcp"
  std::uint64_t bytes = 0;
  std::int64_t tagged_at = 0;  // when it was last pulled or given a name, in seconds since the epoch; 0: not known
};

// One line of the engine's list of images.
struct ImageSummary {
  std::string id;
};

// What is at a path in a container.
struct ContainerPath {
  bool is_folder = false;
  bool is_link = false;
  std::string link_target;  // in the container, all links resolved
};

// A network or a named volume of the engine.
struct EngineResource {
  std::string id;  // what it is removed by
  std::string name;
  std::map<std::string, std::string, std::less<>> labels;
};

// What a container without a terminal has written.
struct ContainerOutput {
  std::string output;
  std::string errors;
};

// Which part of a container's output is read, as docker logs has it.
struct LogSelection {
  bool follow = false;
  std::string tail = "all";           // or a number
  std::optional<std::int64_t> since;  // ms since the epoch
  bool timestamps = false;
};

// A program that is started in a running container.
struct Program {
  std::vector<std::string> arguments;
  std::vector<std::string> environment;  // NAME=value, over the container's
  std::string working_dir;               // empty: the container's
  std::string user;                      // empty: the container's
  bool input = false;                    // it has a standard input
  bool terminal = false;
  int rows = 0;  // of the terminal; 0: not known
  int columns = 0;
};

// A change in a container's life.
struct ContainerEvent {
  std::string container_id;
  std::string action;   // "create", "die", "destroy"
  std::string task_id;  // of its label
  std::optional<int> exit_code;
};

}  // namespace dstack::shim::docker
