#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/clock.h"
#include "runner/logs/event_log.h"
#include "runner/logs/screen.h"

namespace dstack::runner {

// Makes pieces of plain text, each of a size for one event, out of the job's raw output. Lines that need nothing done
// but to lose their carriage returns and colours, nearly all that jobs print, become places in the raw output and are
// not copied; the others are printed on a screen.
//
// Complete lines are held a moment, or until there are 32 KiB of them, since the job may yet move the cursor back up
// over them.
//
// Passive: its owner says what time it is. Not thread-safe.
class PlainText final : private Screen::Owner {
 public:
  // Reads raw output again that was given to take().
  using Reread = std::function<std::string(std::uint64_t position, std::size_t size)>;

  explicit PlainText(Reread reread);

  // Takes raw output that begins at `position`. Returns how many bytes; those that are left, fewer than 4 KiB, may be
  // part of something longer and are to be given again with what follows them.
  std::size_t take(std::string_view bytes, std::uint64_t position, os::SteadyTime now);

  // When flush_due() has something to do, if the job says nothing more.
  std::optional<os::SteadyTime> deadline() const;
  void flush_due(os::SteadyTime now);
  // The end of all output: lets everything go.
  void finish();

  // What is ready to become events, in order. The caller takes it out.
  std::vector<Piece>& ready() { return ready_; }

 private:
  std::size_t take_clean(std::string_view bytes, std::uint64_t position, os::SteadyTime now);
  void begin_line(std::uint64_t position);
  // What was seen of the line and has not left.
  std::string rest_of_line() const;
  void leave_clean();
  void to_screen();
  void hold_raw(std::uint64_t position, std::size_t size, std::size_t text_size);
  void make_room(std::size_t size);
  void let_all_go();
  std::string text_of(const Piece& piece) const;

  void leave(std::string_view text) override;
  std::optional<std::string> take_back() override;

  Reread reread_;
  Screen screen_{*this};
  os::SteadyTime now_{};

  // The line that has not ended, as long as it is clean: only printable characters, tabs and colours.
  struct Amount {
    std::size_t raw = 0;
    std::size_t text = 0;  // without colours
  };
  bool clean_ = true;
  std::uint64_t line_ = 0;  // where it begins
  Amount line_seen_;        // how much of it was seen
  Amount line_left_;        // how much of that has left
  bool line_open_ = false;  // what left last was of this line
  std::optional<os::SteadyTime> line_changed_at_;

  // Complete lines that may yet be taken back.
  std::deque<Piece> held_;
  std::size_t held_size_ = 0;
  std::optional<os::SteadyTime> held_since_;

  std::vector<Piece> ready_;
};

}  // namespace dstack::runner
