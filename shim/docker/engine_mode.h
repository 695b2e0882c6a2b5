#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "shim/docker/engine_types.h"

namespace dstack::shim::docker {

// How an engine runs, as far as it decides what containers can have.
struct EngineMode {
  bool rootless = false;      // its root is a user of the host's
  bool remaps_users = false;  // userns-remap: a container's root is another user of the host's
  bool selinux = false;       // containers are separated from the host's files by SELinux
  bool from_snap = false;     // it sees a part of the host's folders only

  friend bool operator==(const EngineMode&, const EngineMode&) = default;
};

// `root` is where the host's files are: Podman does not say whether it uses SELinux, and does so where the host does.
EngineMode mode_of(const EngineInfo& info, const std::filesystem::path& root = "/");

// Adds to a container's HostConfig what it needs to use the host's folders and devices as the host's root.
void use_as_host_root(nlohmann::json& host_config, const EngineMode& mode);

// What may be behind an engine's refusal of a container, to be appended to its message; empty if nothing is special.
std::string hint_for_refusal(const EngineMode& mode);

}  // namespace dstack::shim::docker
