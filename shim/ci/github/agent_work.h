#pragma once

#include <filesystem>
#include <optional>

#include "common/os/user_db.h"

namespace dstack::shim::ci::github {

// The Actions agent's work folder, "_work", which containers of a job have as a mount.
struct AgentWork {
  std::filesystem::path given;      // as the agent says it; empty: not known
  std::filesystem::path canonical;  // links resolved
  // The owner of the job's workspace in it.
  std::optional<os::UserId> uid;
  std::optional<os::UserId> gid;

  // Whether the agent's path begins with the work folder, and yet leads out of it by a link that a job has made.
  bool is_escape(const std::filesystem::path& path) const;
};

// By RUNNER_TEMP, which is the work folder's "_temp", and GITHUB_WORKSPACE. Nothing is known where they do not fit
// together.
AgentWork find_agent_work();

// `path` with all links resolved that lead to something; the rest stays as it is.
std::filesystem::path resolved(const std::filesystem::path& path);

// Whether `path` is `folder` or below it; both are absolute and normal.
bool is_below(const std::filesystem::path& path, const std::filesystem::path& folder);

}  // namespace dstack::shim::ci::github
