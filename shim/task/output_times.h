#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace dstack::shim::task {

// When a line of a job's output was written.
struct OutputTime {
  std::int64_t time = 0;  // ms since the epoch
  std::optional<std::uint64_t>
      begin;              // where it is in the output; nothing for one that a terminal would have rewritten
  std::uint64_t end = 0;  // behind it, if there is a begin
};

// The lines from number `first` on, at most `limit`, out of the index that the runner writes beside the output
// (runner/logs/event_log.h): 32 bytes a line, time, place, a sum, size, and whether the place is in the output. The
// file lies where the container can put anything, so only a plain file is read, and numbers are taken as they are.
// Empty if there is no index. Throws Error.
std::vector<OutputTime> read_output_times(const std::filesystem::path& runner_folder, std::uint64_t first,
                                          std::size_t limit);

}  // namespace dstack::shim::task
