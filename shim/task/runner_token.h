#pragma once

#include <format>
#include <string>

#include "common/secret.h"
#include "shim/docker/container_spec.h"

namespace dstack::shim::task {

// The file in the runner's folder from which a runner that holds its container learns who may call it.
inline constexpr const char* kTokenFile = "token";
inline std::string token_path_in_container() {
  return std::format("{}/{}", docker::kRunnerFolderInContainer, kTokenFile);
}

// 256 random bits, in letters and digits. Throws Error.
Secret make_runner_token();

}  // namespace dstack::shim::task
