#include "runner/logs/screen.h"

#include <algorithm>

#include "runner/logs/event_log.h"
#include "runner/logs/utf8.h"

namespace dstack::runner {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds quiet_limit{500};
constexpr milliseconds hold_limit{3000};
constexpr std::size_t line_limit = event_limit;
constexpr std::size_t rows_limit = 200;

char32_t last_of(std::string_view text) {
  return first_character(text.substr(character_boundary(text, text.size() - 1))).character;
}

}  // namespace

void Screen::begin(const Beginning& beginning) {
  row().line.append(beginning.text);
  if (!beginning.text.empty()) last_character_ = last_of(beginning.text);
  row().left = beginning.text.substr(0, beginning.left);
  row().open = beginning.open;
  row().changed = beginning.text.size() > beginning.left;
  open_ = beginning.open;
  if (row().changed) changed_at_ = beginning.changed_at;
}

std::size_t Screen::take(std::string_view bytes, os::SteadyTime now) {
  now_ = now;
  return parser_.take_line(bytes, *this);
}

bool Screen::idle() const {
  const Row& first = rows_.front();
  return rows_.size() == 1 && at_end_ && first.line.empty() && first.left.empty() && !first.left_ended && !first.open && parser_.idle();
}

std::optional<os::SteadyTime> Screen::deadline() const {
  if (!changed_at_) return std::nullopt;
  const os::SteadyTime latest = *changed_at_ + hold_limit;
  if (rows_.size() == 1 && !rows_.front().moved_over) return latest;
  return std::min(latest, moved_at_ + quiet_limit);
}

void Screen::flush() {
  for (Row& each : rows_) {
    const bool last = &each == &rows_.back();
    if (last && each.line.empty()) continue;
    if (last ? each.changed : each.changed || !each.left_ended) let_go(each, !last || each.moved_over || each.left_ended);
  }
  changed_at_.reset();
  if (row_ + 1 == rows_.size()) collapse();
}

void Screen::finish() {
  flush();
  Row& last = rows_.back();
  if (last.open || (!last.line.empty() && !last.left_ended)) let_go(last, true);
  rows_.clear();
  rows_.emplace_back();
  row_ = 0;
  at_end_ = true;
}

void Screen::print(std::string_view text) {
  while (!text.empty()) {
    TerminalLine& line = row().line;
    if (at_end_ && line.only_appended()) {
      const std::size_t fits = character_boundary(text, line_limit - std::min(line_limit, line.size()));
      if (fits == 0) {
        overflow();
        continue;
      }
      line.append(text.substr(0, fits));
      last_character_ = last_of(text.substr(0, fits));
      changed();
      text.remove_prefix(fits);
      continue;
    }
    if (!at_end_) {
      if (const std::size_t over = line.write_over(column_, text); over > 0) {
        moved();
        last_character_ = static_cast<unsigned char>(text[over - 1]);
        set_column(column_ + over);
        text.remove_prefix(over);
        continue;
      }
    }
    const Utf8Character first = first_character(text);
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
      if (!row().line.empty()) {
        column_ = 0;
        at_end_ = false;
      } else {
        set_column(0);
      }
      return;
    case '\t': break;
    default: return;
  }
  TerminalLine& line = row().line;
  if (line.size() + TerminalLine::slack > line_limit && (!at_end_ || !line.only_appended() || line.size() >= line_limit)) overflow();
  if (at_end_ && row().line.only_appended()) {
    row().line.append("\t");
    changed();
    return;
  }
  const std::size_t before = width();
  const std::size_t next = row().line.tab(column());
  if (width() != before) changed();
  set_column(std::min(next, std::max(width(), TerminalLine::column_limit)));
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
      // Somewhere on a screen of which we do not know the height: somewhere else.
      if (!row().line.empty()) line_feed();
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
      for (std::size_t i = 0; last_character_ != 0 && i < std::min(count, TerminalLine::column_limit); ++i) {
        std::string character;
        append_utf8(character, last_character_);
        print(character);
      }
      return;
    case 's': saved_column_ = column(); return;
    case 'u': set_column(saved_column_); return;
    default: return;
  }
}

void Screen::escape(char final) {
  switch (final) {
    case 'D': down(1); return;
    case 'E': line_feed(); return;
    case 'M': up(1); return;
    case '7': saved_column_ = column(); return;
    case '8': set_column(saved_column_); return;
    default: return;
  }
}

// An empty line is asked first, as to count columns makes appending to it dearer.
std::size_t Screen::width() { return row().line.empty() ? 0 : row().line.width(); }

std::size_t Screen::column() { return at_end_ ? width() : column_; }

void Screen::set_column(std::size_t column) {
  column_ = column;
  at_end_ = column == width();
}

void Screen::move_right(std::size_t count) {
  const std::size_t from = column();
  set_column(std::max(from, std::min(from + count, std::max(width(), TerminalLine::column_limit))));
}

void Screen::move_left(std::size_t count) {
  const std::size_t from = column();
  set_column(from - std::min(from, count));
}

void Screen::up(std::size_t count) {
  const std::size_t at = column();
  count = std::min(count, rows_limit);
  while (row_ < count) {
    Row above;
    if (auto text = owner_.take_back()) {
      above.line.append(*text);
      above.changed = true;
    } else {
      // It has left. Nothing more is known of it: it leaves again only if something is written there.
      above.left_ended = true;
    }
    rows_.push_front(std::move(above));
    ++row_;
  }
  row_ -= count;
  set_column(at);
  moved_at_ = now_;
  if (!changed_at_) changed_at_ = now_;
}

// Down to a line that is there, or else to one new line.
void Screen::down(std::size_t count) {
  const std::size_t at = column();
  const std::size_t there = std::min(count, rows_.size() - 1 - row_);
  row_ += there;
  if (there < count) new_row();
  set_column(at);
}

void Screen::line_feed() {
  if (row_ + 1 < rows_.size()) {
    ++row_;
  } else {
    new_row();
  }
  set_column(0);
}

void Screen::new_row() {
  if (rows_.size() == 1) {
    Row& only = row();
    if (only.line.only_appended() && only.left.empty() && !only.left_ended && !open_) {
      // By far the most lines.
      only.line.append("\n");
      owner_.leave(only.line.appended());
      only.line.clear();
      only.changed = only.moved_over = false;
    } else {
      let_go(only, true);
      only = Row{};
    }
    changed_at_.reset();
  } else {
    rows_.emplace_back();
    ++row_;
    if (rows_.size() > rows_limit || held() > line_limit) flush();
  }
  column_ = 0;
  at_end_ = true;
}

void Screen::erase_line(unsigned mode) {
  if (mode > 2 || row().line.empty()) return;
  const std::size_t at = column();
  if (mode != 0 || at < width()) {
    moved();
    row().line.erase(mode == 0 ? at : 0, mode == 1 ? at + 1 : width());
  }
  set_column(at);
}

// Erases, removes or inserts characters at the cursor, which stays.
void Screen::edit(char what, std::size_t count) {
  if (row().line.size() + TerminalLine::slack > line_limit) overflow();
  const std::size_t at = column();
  if (at >= width()) return;
  moved();
  TerminalLine& line = row().line;
  if (what == 'X') line.erase(at, at + count);
  if (what == 'P') line.remove(at, count);
  if (what == '@') line.insert(at, count);
  set_column(at);
}

void Screen::erase_screen(unsigned mode) {
  if (mode > 2) return;
  erase_line(mode);
  if (mode != 1) rows_.resize(row_ + 1);
}

// One character over what is there, or behind it.
void Screen::write(char32_t character) {
  if (row().line.size() + TerminalLine::slack > line_limit) overflow();
  if (at_end_ && row().line.only_appended()) {
    std::string text;
    append_utf8(text, character);
    row().line.append(text);
    changed();
    return;
  }
  const std::size_t at = column();
  if (at < width()) moved();
  set_column(row().line.write(at, character));
  changed();
}

void Screen::changed() {
  row().changed = true;
  if (!changed_at_) changed_at_ = now_;
}

// The cursor has gone back over the line, and something happens there.
void Screen::moved() {
  row().moved_over = true;
  moved_at_ = now_;
  changed();
}

// The line has reached the limit: what there is of it leaves, and it goes on as if it began here.
void Screen::overflow() {
  if (rows_.size() > 1) {
    flush();
    collapse();
  }
  row().moved_over = false;
  let_go(row(), false);
  const bool open = row().open;
  rows_.front() = Row{};
  row().open = open;
  changed_at_.reset();
  column_ = 0;
  at_end_ = true;
}

// Lets what has not left of a row leave, with a line's end where `end` says so.
void Screen::let_go(Row& row, bool end) {
  std::string text = row.line.text();
  // Blanks at the end are mostly there to wipe out something longer; nobody sees them.
  if (row.moved_over && !(row.open && text.starts_with(row.left) && text.find_last_not_of(' ') + 1 < row.left.size())) {
    text.resize(text.find_last_not_of(' ') + 1);
  }
  row.changed = false;
  std::string piece;
  if (row.open && (text.starts_with(row.left) || text.empty())) {
    piece = text.substr(std::min(text.size(), row.left.size()));
  } else if (row.left_ended && text == row.left) {
    return;
  } else {
    if (open_) {
      piece = "\n";
      for (Row& each : rows_) {
        each.left_ended = each.left_ended || each.open;
        each.open = false;
      }
    }
    piece += text;
  }
  if (end) piece += '\n';
  row.left = std::move(text);
  row.left_ended = end;
  if (piece.empty()) return;
  open_ = row.open = !end;
  owner_.leave(piece);
}

// Only the line with the cursor stays.
void Screen::collapse() {
  Row kept = std::move(row());
  rows_.clear();
  rows_.push_back(std::move(kept));
  row_ = 0;
}

std::size_t Screen::held() const {
  std::size_t size = 0;
  for (const Row& each : rows_) size += each.line.size();
  return size;
}

}  // namespace dstack::runner
