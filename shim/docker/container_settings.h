#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace dstack::shim::docker {

// What a local task may ask of its container beyond what a server asks. Plain data; names, units and ranges are checked
// where it is read (shim/task/container_config.h).

// A named volume of the engine.
struct VolumeMount {
  std::string name;
  std::string target;  // in the container
  bool read_only = false;
};

struct PublishedPort {
  int container = 0;
  int host = 0;  // on 127.0.0.1; 0: a free one
  std::string protocol = "tcp";

  // "8000/udp"
  std::string name() const;
};

// How the engine finds out whether the container is healthy. What is absent is the image's.
struct HealthCheck {
  bool none = false;               // no check, the image's neither
  std::string test;                // a shell command; empty: the image's
  std::optional<double> interval;  // seconds
  std::optional<double> timeout;   // seconds
  std::optional<int> retries;
  std::optional<double> start_period;    // seconds
  std::optional<double> start_interval;  // seconds; between checks while it starts
};

struct Ulimit {
  std::string name;
  std::int64_t soft = 0;  // -1: unlimited
  std::int64_t hard = 0;
};

struct ContainerSettings {
  std::map<std::string, std::string> environment;  // over the image's; may hold secrets
  std::vector<std::string> entrypoint;             // empty: the image's
  std::vector<std::string> command;                // empty: the image's, unless there is an entry point
  std::string working_dir;                         // empty: the image's
  bool stdin_open = false;
  bool stdin_once = false;  // the first client that attaches ends it
  bool tty = false;
  bool init = false;  // the engine's init is process 1
  std::vector<VolumeMount> volumes;
  std::string network;  // a bridge network's name; empty: the engine's own
  std::vector<std::string> aliases;
  std::vector<PublishedPort> ports;
  std::optional<HealthCheck> health;
  std::string hostname;
  std::map<std::string, std::string> hosts;  // name → address
  std::map<std::string, std::string> labels;
  std::vector<Ulimit> ulimits;
  std::map<std::string, std::string> tmpfs;  // path → options
  std::vector<std::string> added_capabilities;
};

// Writes the settings into the engine's create body of a container that has none of them.
void add_settings(nlohmann::json& body, const ContainerSettings& settings);

}  // namespace dstack::shim::docker
