#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/os/unique_fd.h"
#include "runner/logs/job_log.h"

namespace dstack::runner {

// The most that one event may hold: a server's log store drops larger ones.
constexpr std::size_t kEventLimit = 32768;

// A piece of text on its way into an event.
struct Piece {
  // Where the text is in the job's raw output, which then differs from it by nothing but carriage returns and colours;
  // else the text itself.
  struct Raw {
    std::uint64_t position = 0;
    std::uint32_t size = 0;
  };
  std::optional<Raw> raw;
  std::string text;
  std::uint32_t text_size = 0;
};

// Events with their times on disk: 32 bytes each and its text, or a place in the job's raw output where that is the
// text. Events are added by one thread at a time; those below a count that the reading thread has been given may be
// read by any.
class EventLog {
 public:
  struct Event {
    std::int64_t time;
    std::uint64_t place;        // in the raw output or the text file
    std::uint64_t text_before;  // bytes of text of all events before this one
    std::uint32_t size;         // bytes at `place`
    std::uint32_t raw : 1;
    std::uint32_t text_size : 31;  // at most event_limit
  };

  // Two files in `folder`, emptied: NAME.index and NAME.text. `raw` may be null where no event refers to it. Throws
  // Error.
  EventLog(const std::filesystem::path& folder, const std::string& name, const JobLog* raw);

  // Sets disk space aside for about `bytes` of text, so that a little can be said when the disk is full. Tries only.
  void reserve(std::size_t bytes) noexcept;

  // Adds all the pieces as events of `time` or, where the disk has no room, none: false, with the reason in errno.
  bool add(std::int64_t time, std::span<const Piece> pieces) noexcept;

  std::uint64_t count() const { return count_; }

  // The first of `count` events that is later than `time`; `count` where there is none.
  std::uint64_t first_after(std::int64_t time, std::uint64_t count) const;
  // The event; throws Error where it cannot be read.
  Event event(std::uint64_t number) const;
  // Bytes of text of all events below `number`.
  std::uint64_t text_before(std::uint64_t number) const;
  // Fills `into` from `number` on.
  void events(std::uint64_t number, std::span<Event> into) const;
  // Puts the event's text in place of what `into` held.
  void text(const Event& event, std::string& into) const;

 private:
  const JobLog* raw_;
  os::UniqueFd index_;
  os::UniqueFd texts_;
  std::uint64_t count_ = 0;
  std::uint64_t text_end_ = 0;  // of the text file
  std::uint64_t text_total_ = 0;
  std::uint64_t reserve_ = 0;
  std::uint64_t index_reserved_ = 0;  // to where
  std::uint64_t text_reserved_ = 0;
};

// Takes carriage returns and colours out, in place.
void drop_unseen(std::string& text);

}  // namespace dstack::runner
