#pragma once

#include <filesystem>

#include "common/os/clock.h"
#include "common/os/unique_fd.h"
#include "shim/ci/ci.h"
#include "shim/ci/github/github.h"

namespace dstack::shim::ci::github {

// The Actions agents that were downloaded, in a folder that all launchers of a user share. One thread at a time uses
// it.
class AgentCache {
 public:
  AgentCache(std::filesystem::path folder, os::Clock& clock) : folder_(std::move(folder)), clock_(clock) {}

  // The file of this release, downloaded unless it is there; `anew`: downloaded in any case. Its checksum is checked
  // each time: one that is there and has changed is downloaded, one that comes wrong is an Error (invalid).
  std::filesystem::path fetch(const AgentRelease& release, bool anew, const Patience& patience);

 private:
  void download(const AgentRelease& release, const std::filesystem::path& file, const Patience& patience);
  os::UniqueFd lock(const std::stop_token& stop) const;
  void remove_old() const;

  std::filesystem::path folder_;
  os::Clock& clock_;
};

// CML_RUNNER_AGENT_CACHE, or /var/cache/dstack-ci, or ~/.cache/dstack-ci of a user who is not root.
std::filesystem::path agent_cache_folder();

}  // namespace dstack::shim::ci::github
