#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>

#include "common/os/clock.h"
#include "shim/docker/engine_types.h"
#include "shim/docker/image_reference.h"

namespace dstack::shim::docker {

// The logins that `docker pull` would use as the user whom this process runs as: of Docker's config.json and of the
// credential helpers that it names. Both are asked for each pull, since logins expire. Any thread.
class HostCredentials {
 public:
  explicit HostCredentials(std::filesystem::path file, os::Clock& clock = os::system_clock())
      : file_(std::move(file)), clock_(clock) {}

  struct Found {
    std::optional<Credentials> credentials;
    std::string problem;  // why there are none, where that is a failure; no secrets
  };
  // For the image's registry. Takes 30 s at most. Throws Error (cancelled) for `stop` and nothing else.
  Found find(const ImageReference& image, const std::stop_token& stop) const;

 private:
  const std::filesystem::path file_;
  os::Clock& clock_;
};

}  // namespace dstack::shim::docker
