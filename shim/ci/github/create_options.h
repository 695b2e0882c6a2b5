#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dstack::shim::ci::github {

// The options of `docker create` in a workflow that a container gets here. What is not given is empty.
struct CreateOptions {
  std::optional<std::int64_t> gpus;  // -1: all
  std::optional<double> cpus;
  std::optional<std::uint64_t> memory;    // bytes
  std::optional<std::uint64_t> shm_size;  // bytes
  std::map<std::string, std::string> environment;
  std::string user;
  std::string working_dir;
  std::string hostname;
  std::vector<std::string> aliases;
  std::optional<std::string> entrypoint;
  std::string pull;
  bool init = false;
  bool privileged = false;
  // As a task's object `container` has them (docs/container-tasks.md); null where nothing is given.
  nlohmann::json health;
  nlohmann::json ulimits;
  nlohmann::json tmpfs;
  nlohmann::json hosts;
  nlohmann::json labels;
  nlohmann::json added_capabilities;
};

// Splits the text as a shell does. `privileged`: whether --privileged and --cap-add are among those that are known.
// Throws Error (invalid): "option --network is not supported here", or what is wrong with a value.
CreateOptions parse_create_options(std::string_view text, bool privileged);

}  // namespace dstack::shim::ci::github
