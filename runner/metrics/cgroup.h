#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace dstack::runner::metrics {

struct CgroupUsage {
  std::uint64_t cpu_micro = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t working_set_bytes = 0;  // without file pages that nobody has used lately
};

// The control group this process is in, version 2 or 1, seen from the host's namespace or from one of its own. It is
// looked up anew for every call, since a process may be moved. `root` stands for / in tests.
//
// Nothing where no cgroup can be read, or a file of it is not as expected.
std::optional<CgroupUsage> read_cgroup_usage(const std::filesystem::path& root = "/");

// How many processes of the group the kernel has killed for want of memory.
std::optional<std::uint64_t> count_oom_kills(const std::filesystem::path& root = "/");

}  // namespace dstack::runner::metrics
