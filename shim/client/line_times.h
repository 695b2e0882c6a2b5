#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "shim/client/shim_api.h"

namespace dstack::shim::client {

// When the lines of a job's output were written, read along with the output. Members throw Error as ShimApi's.
class LineTimes {
 public:
  // `shim` outlives this object.
  LineTimes(ShimApi& shim, std::string task) : shim_(shim), task_(std::move(task)) {}

  // Where output from this moment on begins (ms since the epoch); nothing if there is none yet. Before any time_of().
  std::optional<std::uint64_t> position_at(std::int64_t since);
  // Of the output at this position, which is never before that of an earlier call. Nothing if it is not known (yet).
  std::optional<std::int64_t> time_of(std::uint64_t position);

 private:
  bool fetch();

  ShimApi& shim_;
  const std::string task_;
  std::deque<LineTime> lines_;
  std::uint64_t next_ = 0;                 // number of the line after `lines_`
  std::optional<std::int64_t> rewritten_;  // of the last line before lines_ that is not in the output as it is
  std::uint64_t end_ = 0;                  // of the last one that is
};

// A moment as docker's --since takes it: seconds since the epoch, "10m" or "1h30m" before now, or an RFC 3339 time; ms
// since the epoch, nothing for anything else.
std::optional<std::int64_t> parse_moment(const std::string& text, const os::Clock& clock);

}  // namespace dstack::shim::client
