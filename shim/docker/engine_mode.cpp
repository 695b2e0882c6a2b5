#include "shim/docker/engine_mode.h"

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>
#include <string_view>

namespace dstack::shim::docker {

EngineMode mode_of(const EngineInfo& info, const std::filesystem::path& root) {
  // "name=seccomp,profile=builtin"
  const auto has = [&info](std::string_view name) {
    return std::ranges::any_of(info.security_options, [name](const std::string& option) {
      return option == name || option.starts_with(std::format("{},", name));
    });
  };
  std::error_code ignored;
  const bool host_has_selinux = std::filesystem::exists(root / "sys/fs/selinux/enforce", ignored);
  return {.rootless = info.rootless || has("name=rootless"),
          .remaps_users = has("name=userns"),
          .selinux = has("name=selinux") || (info.podman && host_has_selinux),
          .from_snap = info.root_directory.starts_with("/var/snap/")};
}

void use_as_host_root(nlohmann::json& host_config, const EngineMode& mode) {
  if (mode.remaps_users) host_config["UsernsMode"] = "host";
  // Relabelling what tasks mount would take it from the host's other programs.
  if (mode.selinux) host_config["SecurityOpt"].push_back("label=disable");
}

std::string hint_for_refusal(const EngineMode& mode) {
  if (mode.from_snap) {
    return "; Docker was installed as a snap, which does not see all of the host's folders: `snap remove docker`, then "
           "install Docker's own packages";
  }
  if (mode.remaps_users) {
    return "; Docker has userns-remap set, and tasks need the host's user namespace (UsernsMode \"host\"): allow it, "
           "or remove \"userns-remap\" from /etc/docker/daemon.json";
  }
  return {};
}

}  // namespace dstack::shim::docker
