#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runner/logs/event_log.h"
#include "runner/logs/logs.h"

namespace dstack::runner {

struct StampedState {
  std::int64_t time;
  JobState state;
};

// What one pull answers: all events later than a moment or, where that would be too much, those up to another, which is
// then its last_updated. Both job states and both logs are cut at the same moment, and no moment is cut in two.
class Page {
 public:
  // What there was when the pull came. All events in it are at `latest` or before.
  struct Snapshot {
    const EventLog& job;
    std::uint64_t job_count;
    const EventLog& runner;
    std::uint64_t runner_count;
    std::vector<StampedState> states;
    std::int64_t latest;
    bool complete;  // the job is over and all of its logs are in
  };

  // Bytes of text, each event counted with what it takes around it.
  static constexpr std::uint64_t kSizeLimit = std::uint64_t{16} << 20;
  static constexpr std::uint64_t kEventOverhead = 64;

  // Throws Error where the logs cannot be read.
  Page(Snapshot snapshot, std::int64_t after, std::uint64_t limit = kSizeLimit);

  bool empty() const;
  // Nothing is left to hand over after this one.
  bool last() const { return snapshot_.complete && until_ == snapshot_.latest; }

  // Writes the JSON; false when the client went away.
  bool write(const PieceSink& sink, std::optional<std::int64_t> no_connections_secs) const;

 private:
  struct Range {
    std::uint64_t first = 0;
    std::uint64_t end = 0;
  };

  std::uint64_t size_until(std::int64_t time) const;
  bool write_events(const PieceSink& sink, std::string& text, const EventLog& log, Range range) const;

  Snapshot snapshot_;
  std::int64_t until_;
  Range job_;
  Range runner_;
  std::vector<StampedState> states_;
};

}  // namespace dstack::runner
