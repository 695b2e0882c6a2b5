#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace dstack::os {

// The cgroup2 hierarchy as this process sees it mounted. Values; members from any thread.
class Cgroup2 {
 public:
  // The first mount that shows the whole hierarchy; nothing where there is none. `mounts` is a mountinfo file.
  static std::optional<Cgroup2> find(const std::filesystem::path& mounts = "/proc/self/mountinfo");

  explicit Cgroup2(std::filesystem::path mount) : mount_(std::move(mount)) {}

  // A cgroup's path in the hierarchy by its id, "/docker/0123…". Nothing for one that is gone, or where this process
  // may not ask (CAP_DAC_READ_SEARCH). Throws Error when descriptors or memory have run out.
  std::optional<std::string> path_of(std::uint64_t id) const;

  const std::filesystem::path& mount() const { return mount_; }

 private:
  std::filesystem::path mount_;
};

}  // namespace dstack::os
