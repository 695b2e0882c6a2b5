#include "runner/logs/screen.h"

#include <algorithm>

#include "common/text/utf8.h"
#include "runner/logs/event_log.h"

namespace dstack::runner {

namespace {

constexpr std::size_t kLineLimit = kEventLimit;
// As far up as a terminal would go.
constexpr std::size_t kUpLimit = 200;

char32_t last_of(std::string_view text) {
  return text::first_character(text.substr(text::character_boundary(text, text.size() - 1))).character;
}

}  // namespace

void Screen::begin(const Beginning& beginning) {
  rows_.begin(beginning);
  saved_line_.reset();  // lines that were not taken here lie in between
  if (!beginning.text.empty()) last_character_ = beginning.text.back() == '\t' ? 0 : last_of(beginning.text);
}

std::size_t Screen::take(std::string_view bytes, os::SteadyTime now) {
  now_ = now;
  return parser_.take_line(bytes, *this);
}

void Screen::finish() {
  rows_.finish();
  row_ = 0;
  column_ = 0;
  at_end_ = true;
}

void Screen::print(std::string_view text) {
  while (!text.empty()) {
    TerminalLine& current = line();
    if (at_end_ && current.only_appended()) {
      const std::size_t fits = text::character_boundary(text, kLineLimit - std::min(kLineLimit, current.size()));
      if (fits == 0) {
        overflow();
        continue;
      }
      current.append(text.substr(0, fits));
      last_character_ = last_of(text.substr(0, fits));
      changed();
      text.remove_prefix(fits);
      continue;
    }
    if (!at_end_) {
      const TerminalLine::Written over = current.write_over(column_, text, kLineLimit - TerminalLine::kSlack);
      if (over.bytes > 0) {
        moved();
        last_character_ = last_of(text.substr(0, over.bytes));
        set_column(column_ + over.columns);
        text.remove_prefix(over.bytes);
        continue;
      }
    }
    const text::Utf8Character first = text::first_character(text);
    write(first.character);
    last_character_ = first.character;
    text.remove_prefix(first.size);
  }
}

void Screen::control(char control) {
  last_character_ = 0;
  switch (control) {
    case '\b': move_left(1); return;
    case '\n': line_feed(); return;
    case '\v':
    case '\f': down(1); return;
    case '\r':
      if (!line().empty()) {
        column_ = 0;
        at_end_ = false;
      } else {
        set_column(0);
      }
      return;
    case '\t': break;
    default: return;
  }
  const bool appends = at_end_ && line().only_appended();
  if (line().size() + (appends ? 1 : TerminalLine::kSlack) > kLineLimit) overflow();
  if (at_end_ && line().only_appended()) {
    line().append("\t");
    changed();
    return;
  }
  const std::size_t before = width();
  const std::size_t next = line().tab(column());
  if (width() != before) changed();
  set_column(std::min(next, std::max(width(), TerminalLine::kColumnLimit)));
}

void Screen::sequence(const ControlSequence& sequence) {
  if (sequence.marked) return;
  const std::size_t count = sequence.parameter(0, 1);
  switch (sequence.final) {
    case 'A': up(count); return;
    case 'B':
    case 'e': down(count); return;
    case 'C':
    case 'a': move_right(count); return;
    case 'D': move_left(count); return;
    case 'E':
      down(count);
      set_column(0);
      return;
    case 'F':
      up(count);
      set_column(0);
      return;
    case 'G':
    case '`':
      set_column(0);
      move_right(count - 1);
      return;
    case 'H':
    case 'f':
    case 'd':
      // Somewhere on a screen of which we do not know the height: somewhere else, and how far from a saved place is not
      // known either.
      saved_line_.reset();
      if (!line().empty()) line_feed();
      if (sequence.final == 'd') return;
      set_column(0);
      move_right(sequence.parameter(1, 1) - 1);
      return;
    case 'I':
      for (std::size_t i = 0; i < std::min<std::size_t>(count, 100); ++i) control('\t');
      return;
    case 'Z': {
      const std::size_t stops = column() == 0 ? 0 : (column() - 1) / 8;
      set_column((stops - std::min(stops, count - 1)) * 8);
      return;
    }
    case 'J': erase_screen(sequence.parameter(0, 0)); return;
    case 'K': erase_line(sequence.parameter(0, 0)); return;
    case 'X':
    case 'P':
    case '@': edit(sequence.final, count); return;
    case 'b':
      for (std::size_t i = 0; last_character_ != 0 && i < std::min(count, TerminalLine::kColumnLimit); ++i) {
        std::string character;
        text::append_utf8(character, last_character_);
        print(character);
      }
      return;
    case 's': save(); return;
    case 'u': restore(); return;
    default: return;
  }
}

void Screen::escape(char final) {
  switch (final) {
    case 'D': down(1); return;
    case 'E': line_feed(); return;
    case 'M': up(1); return;
    case '7': save(); return;
    case '8': restore(); return;
    default: return;
  }
}

void Screen::save() {
  saved_line_ = at_line_;
  saved_column_ = column();
}

bool Screen::may_restore() const {
  return saved_line_ && at_line_ - *saved_line_ < static_cast<std::int64_t>(kUpLimit);
}

void Screen::restore() {
  const std::int64_t below = saved_line_ ? at_line_ - *saved_line_ : 0;
  if (below > 0) up(static_cast<std::size_t>(below));
  if (below < 0) down(static_cast<std::size_t>(-below));
  set_column(saved_column_);
}

// An empty line is asked first, as to count columns makes appending to it dearer.
std::size_t Screen::width() { return line().empty() ? 0 : line().width(); }

std::size_t Screen::column() { return at_end_ ? width() : column_; }

void Screen::set_column(std::size_t column) {
  column_ = column;
  at_end_ = column == width();
}

void Screen::move_right(std::size_t count) {
  const std::size_t from = column();
  set_column(std::max(from, std::min(from + count, std::max(width(), TerminalLine::kColumnLimit))));
}

void Screen::move_left(std::size_t count) {
  const std::size_t from = column();
  set_column(from - std::min(from, count));
}

void Screen::up(std::size_t count) {
  const std::size_t at = column();
  count = std::min(count, kUpLimit);
  for (; row_ < count; ++row_) rows_.add_above();
  row_ -= count;
  at_line_ -= static_cast<std::int64_t>(count);
  set_column(at);
  rows_.moved_between(now_);
}

// Down to a line that is there, or else to one new line.
void Screen::down(std::size_t count) {
  const std::size_t at = column();
  const std::size_t there = std::min(count, rows_.count() - 1 - row_);
  row_ += there;
  at_line_ += static_cast<std::int64_t>(there);
  if (there < count) new_line();
  set_column(at);
}

void Screen::line_feed() {
  if (row_ + 1 < rows_.count()) {
    ++row_;
    ++at_line_;
  } else {
    new_line();
  }
  set_column(0);
}

void Screen::new_line() {
  row_ = rows_.add_below();
  ++at_line_;
  column_ = 0;
  at_end_ = true;
}

void Screen::erase_line(unsigned mode) {
  if (mode > 2 || line().empty()) return;
  const std::size_t at = column();
  if (mode != 0 || at < width()) {
    moved();
    line().erase(mode == 0 ? at : 0, mode == 1 ? at + 1 : width());
  }
  set_column(at);
}

// Erases, removes or inserts characters at the cursor, which stays.
void Screen::edit(char what, std::size_t count) {
  if (line().size() + TerminalLine::kSlack > kLineLimit) overflow();
  const std::size_t at = column();
  if (at >= width()) return;
  moved();
  if (what == 'X') line().erase(at, at + count);
  if (what == 'P') line().remove(at, count);
  if (what == '@') line().insert(at, count);
  set_column(at);
}

void Screen::erase_screen(unsigned mode) {
  if (mode > 2) return;
  erase_line(mode);
  if (mode != 1) rows_.cut_below(row_);
}

// One character over what is there, or behind it.
void Screen::write(char32_t character) {
  if (line().size() + TerminalLine::kSlack > kLineLimit) overflow();
  if (at_end_ && line().only_appended()) {
    std::string text;
    text::append_utf8(text, character);
    line().append(text);
    changed();
    return;
  }
  const std::size_t at = column();
  if (at < width()) moved();
  set_column(line().write(at, character));
  changed();
}

void Screen::overflow() {
  rows_.overflow(row_);
  row_ = 0;
  column_ = 0;
  at_end_ = true;
}

}  // namespace dstack::runner
