#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "common/os/clock.h"
#include "runner/logs/escape_parser.h"
#include "runner/logs/terminal_line.h"

namespace dstack::runner {

// The terminal that a person would look at, as far as a log can show it: the line that the cursor is in and, while the
// job moves up over lines that are still held (a redrawn list of progress bars), those too. It has no width and no
// height of its own.
//
// A line leaves when it is complete, and so is text in front of an end that does not come within 3 s. Lines that the
// cursor was moved back over leave 0.5 s after the last movement, or 3 s after the first change. What has left cannot
// be taken back: a line that changes afterwards leaves once more, as a new line.
//
// Passive: its owner says what time it is.
class Screen final : private TerminalActions {
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

  explicit Screen(Owner& owner) : owner_(owner) {}

  // A line that has begun elsewhere.
  struct Beginning {
    std::string_view text;        // valid UTF-8 without control characters but tabs
    std::size_t left = 0;         // how much of it has left
    bool open = false;            // what left last was of this line
    os::SteadyTime changed_at{};  // since when something is to leave
  };
  // Only when idle().
  void begin(const Beginning& beginning);

  // Takes bytes up to the first newline, that included, or all of them; returns how many.
  std::size_t take(std::string_view bytes, os::SteadyTime now);

  // At the beginning of an empty line, and no sequence has begun.
  bool idle() const;

  // When flush() has something to do, if the job says nothing more.
  std::optional<os::SteadyTime> deadline() const;
  // Lets go of all that is on the screen.
  void flush();
  // The same at the end of all output: the last line leaves with an end.
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

  void print(std::string_view text) override;
  void control(char control) override;
  void sequence(const ControlSequence& sequence) override;
  void escape(char final) override;

  Row& row() { return rows_[row_]; }
  std::size_t column();
  std::size_t width();
  void set_column(std::size_t column);
  void move_right(std::size_t count);
  void move_left(std::size_t count);
  void up(std::size_t count);
  void down(std::size_t count);
  void line_feed();
  void new_row();
  void edit(char what, std::size_t count);
  void erase_line(unsigned mode);
  void erase_screen(unsigned mode);
  void write(char32_t character);
  void changed();
  void moved();
  void overflow();
  void let_go(Row& row, bool end);
  void collapse();
  std::size_t held() const;

  Owner& owner_;
  EscapeParser parser_;
  std::deque<Row> rows_{1};
  std::size_t row_ = 0;
  // Where the cursor is. To be at the end, as nearly always, needs no counting of columns.
  bool at_end_ = true;
  std::size_t column_ = 0;
  std::size_t saved_column_ = 0;
  char32_t last_character_ = 0;  // for a sequence that repeats it; 0 after a control character
  bool open_ = false;  // what left last had no line's end
  os::SteadyTime now_{};
  os::SteadyTime moved_at_{};
  std::optional<os::SteadyTime> changed_at_;  // the first change that has not left
};

}  // namespace dstack::runner
