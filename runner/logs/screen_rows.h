#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "common/os/clock.h"
#include "runner/logs/terminal_line.h"

namespace dstack::runner {

// The lines that a screen holds, of which the last is not complete, and what has left of each. The cursor is the
// screen's.
//
// A line leaves when it is complete, and so does text in front of an end that does not come within 3 s. Lines that the
// cursor was moved back over leave 0.5 s after the last movement, or 3 s after the first change. What has left cannot
// be taken back: a line that changes afterwards leaves once more, as a new line.
class ScreenRows {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    // The next text of the log: whole lines, or the part of a line that goes on in the next call.
    virtual void leave(std::string_view text) = 0;
    // The last line that was left and is still held, without its end: it is back on the screen, and not with the owner
    // any more. Nothing where there is none.
    virtual std::optional<std::string> take_back() = 0;
  };

  // A line that has begun elsewhere.
  struct Beginning {
    std::string_view text;        // valid UTF-8 without control characters but tabs
    std::size_t left = 0;         // how much of it has left
    bool open = false;            // what left last was of this line
    os::SteadyTime changed_at{};  // since when something is to leave
  };

  explicit ScreenRows(Owner& owner) : owner_(owner) {}

  std::size_t count() const { return rows_.size(); }
  TerminalLine& line(std::size_t row) { return rows_[row].line; }
  // One empty line, of which nothing has left.
  bool blank() const;

  void begin(const Beginning& beginning);

  // Something was written; over what was there.
  void changed(std::size_t row, os::SteadyTime now);
  void moved_over(std::size_t row, os::SteadyTime now);
  // The cursor goes up and down between lines, which makes it a time to wait before they leave.
  void moved_between(os::SteadyTime now);

  // One line above the first: one that the owner still holds, or else one of which nothing is known.
  void add_above();
  // A new line below the last, whose end has come. The row that the cursor is in from here on.
  std::size_t add_below();
  // Takes the lines below away.
  void cut_below(std::size_t row) { rows_.resize(row + 1); }
  // A line has reached the limit: what there is of it leaves, and it goes on as if it began here, the only one.
  void overflow(std::size_t row);

  // When flush() has something to do, if nothing more happens.
  std::optional<os::SteadyTime> deadline() const;
  // Lets everything leave. The row that the cursor, which was in `row`, is in from here on: lines above it are
  // forgotten if it is the last.
  std::size_t flush(std::size_t row);
  // The same at the end of all output: the last line gets an end. Leaves one empty line.
  void finish();

 private:
  struct Row {
    TerminalLine line;
    std::string left;         // what has left of it
    bool left_ended = false;  // and that with a line's end
    bool open = false;        // what left last was of this line, and without an end
    bool changed = false;     // since then
    bool moved_over = false;
  };

  void let_go(Row& row, bool end);
  void keep_only(std::size_t row);
  std::size_t held() const;

  Owner& owner_;
  std::deque<Row> rows_{1};
  bool open_ = false;  // what left last had no line's end
  os::SteadyTime moved_at_{};
  std::optional<os::SteadyTime> changed_at_;  // the first change that has not left
};

}  // namespace dstack::runner
