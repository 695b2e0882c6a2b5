#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "common/os/mutex.h"
#include "common/os/unique_fd.h"

namespace dstack::runner {

// Which byte of the job's output came when, on disk, to a granularity of half a second: 16 bytes for every half second
// in which there was output.
class TimeIndex {
 public:
  // Starts empty. Throws Error.
  explicit TimeIndex(const std::filesystem::path& path);

  // Output that begins at `position` came at `time` (ms, never less than before). From one thread.
  void add(std::int64_t time, std::uint64_t position) noexcept;

  // Where to begin so that nothing that came at `time` or later is left out: at most half a second of older output is
  // in. `end` is where output ends now. From any thread.
  std::uint64_t find(std::int64_t time, std::uint64_t end) const;

 private:
  struct Entry {
    std::int64_t time;
    std::uint64_t position;
  };
  Entry read(std::uint64_t number) const DSTACK_REQUIRES(mutex_);

  os::UniqueFd file_;
  mutable os::Mutex mutex_;
  std::uint64_t saved_ DSTACK_GUARDED_BY(mutex_) = 0;
  // What could not be written as the disk was full. Without room there is no output either, so it stays small.
  std::vector<Entry> unsaved_ DSTACK_GUARDED_BY(mutex_);
  std::int64_t latest_ = INT64_MIN;  // only add() looks at it
};

}  // namespace dstack::runner
