#include "shim/ci/github/agent_work.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>

namespace dstack::shim::ci::github {

namespace fs = std::filesystem;

namespace {

fs::path path_of_variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

fs::path normal(const fs::path& path) {
  const fs::path clean = path.lexically_normal();
  return clean.has_filename() ? clean : clean.parent_path();
}

}  // namespace

bool AgentWork::is_escape(const fs::path& path) const {
  if (given.empty() || !path.native().starts_with(given.native() + "/")) return false;
  return !is_below(resolved(path), canonical);
}

AgentWork find_agent_work() {
  AgentWork work;
  const fs::path temp = normal(path_of_variable("RUNNER_TEMP"));
  const fs::path workspace = resolved(path_of_variable("GITHUB_WORKSPACE"));
  const fs::path folder = temp.parent_path();
  std::error_code failure;
  const fs::path canonical = fs::canonical(folder, failure);
  // A folder that is given back to a user as a whole has to be the agent's.
  if (failure || !temp.is_absolute() || temp.filename() != "_temp" || canonical == canonical.root_path()) return work;
  work.given = folder;
  work.canonical = canonical;
  struct stat status{};
  if (is_below(workspace, canonical) && ::lstat(workspace.c_str(), &status) == 0) {
    work.uid = status.st_uid;
    work.gid = status.st_gid;
  }
  return work;
}

fs::path resolved(const fs::path& path) {
  std::error_code failure;
  const fs::path found = fs::weakly_canonical(path, failure);
  return normal(failure ? path : found);
}

bool is_below(const fs::path& path, const fs::path& folder) {
  const auto [end, rest] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return end == folder.end();
}

}  // namespace dstack::shim::ci::github
