#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/os/clock.h"
#include "runner/logs/escape_parser.h"
#include "runner/logs/screen_rows.h"

namespace dstack::runner {

// The terminal that a person would look at, as far as a log can show it: the line that the cursor is in and, while the
// job moves up over lines that are still held (a redrawn list of progress bars), those too. It has no width and no
// height of its own. ScreenRows says when lines leave.
//
// Passive: its owner says what time it is.
class Screen final : private TerminalActions {
 public:
  using Owner = ScreenRows::Owner;
  using Beginning = ScreenRows::Beginning;

  explicit Screen(Owner& owner) : rows_(owner) {}

  // Only when idle().
  void begin(const Beginning& beginning);

  // Takes bytes up to the first newline, that included, or all of them; returns how many.
  std::size_t take(std::string_view bytes, os::SteadyTime now);

  // At the beginning of an empty line, no sequence has begun, and no line above is likely to be restored.
  bool idle() const { return at_end_ && rows_.blank() && parser_.idle() && !may_restore(); }

  // When flush() has something to do, if the job says nothing more.
  std::optional<os::SteadyTime> deadline() const { return rows_.deadline(); }
  // Lets go of all that is on the screen.
  void flush() { row_ = rows_.flush(row_); }
  // The same at the end of all output: the last line leaves with an end.
  void finish();

 private:
  void print(std::string_view text) override;
  void control(char control) override;
  void sequence(const ControlSequence& sequence) override;
  void escape(char final) override;

  TerminalLine& line() { return rows_.line(row_); }
  std::size_t column();
  std::size_t width();
  void set_column(std::size_t column);
  void move_right(std::size_t count);
  void move_left(std::size_t count);
  void up(std::size_t count);
  void down(std::size_t count);
  void line_feed();
  void save();
  bool may_restore() const;
  void restore();
  void new_line();
  void edit(char what, std::size_t count);
  void erase_line(unsigned mode);
  void erase_screen(unsigned mode);
  void write(char32_t character);
  void changed() { rows_.changed(row_, now_); }
  // The cursor has gone back over the line, and something happens there.
  void moved() { rows_.moved_over(row_, now_); }
  void overflow();

  EscapeParser parser_;
  ScreenRows rows_;
  std::size_t row_ = 0;
  // Where the cursor is. To be at the end, as nearly always, needs no counting of columns.
  bool at_end_ = true;
  std::size_t column_ = 0;
  std::size_t saved_column_ = 0;
  std::int64_t at_line_ = 0;  // how many lines below the first one ever the cursor is
  std::optional<std::int64_t> saved_line_;
  char32_t last_character_ = 0;  // for a sequence that repeats it; 0 after a control character
  os::SteadyTime now_{};
};

}  // namespace dstack::runner
