#include "runner/logs/terminal_line.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "common/text/utf8.h"
#include "runner/logs/character_width.h"

namespace dstack::runner {

namespace {

constexpr std::size_t kTabWidth = 8;
// Of the marks on one character: more would be a joke.
constexpr std::size_t kMarksLimit = 32;
// Marks whose characters were written over since may stay in memory up to this number.
constexpr std::size_t kMarksKept = 1000;

}  // namespace

std::size_t TerminalLine::width() {
  make_columns();
  return columns_.size();
}

void TerminalLine::append(std::string_view text) {
  if (!in_columns_) {
    text_.append(text);
    return;
  }
  while (!text.empty()) {
    const text::Utf8Character first = text::first_character(text);
    if (first.character == '\t') {
      tab(columns_.size());
    } else {
      write(columns_.size(), first.character);
    }
    text.remove_prefix(first.size);
  }
}

std::size_t TerminalLine::write(std::size_t column, char32_t character) {
  make_columns();
  const unsigned columns = columns_of(character);
  if (columns > 0) {
    put(column, character, columns);
    return column + columns;
  }
  // Joins the character before the cursor; with none there, there is nothing to see.
  std::size_t owner = std::min(column, columns_.size());
  while (owner > 0 && columns_[owner - 1] == 0) --owner;
  if (owner == 0) return column;
  if (marks_.size() > columns_.size() + kMarksKept) forget_marks();
  marks_at_.resize(columns_.size());
  unsigned& at = marks_at_[owner - 1];
  if (at == 0) {
    marks_.emplace_back();
    at = static_cast<unsigned>(marks_.size());
  }
  std::string& marks = marks_[at - 1];
  if (marks.size() + 4 <= kMarksLimit) {
    text::append_utf8(marks, character);
    size_ += text::utf8_size(character);
  }
  return column;
}

TerminalLine::Written TerminalLine::write_over(std::size_t column, std::string_view text, std::size_t limit) {
  make_columns();
  Written written;
  while (written.bytes < text.size()) {
    const std::size_t at = column + written.columns;
    const std::size_t plain = write_plain_over(at, text.substr(written.bytes));
    written.bytes += plain;
    written.columns += plain;
    if (plain > 0) continue;
    const text::Utf8Character next = text::first_character(text.substr(written.bytes));
    const bool fits = next.size == 1 || size_ <= limit;
    if (!fits || at >= columns_.size() || !alone(at) || columns_of(next.character) != 1) break;
    set(at, next.character);
    written.bytes += next.size;
    ++written.columns;
  }
  return written;
}

// Writes as much of the beginning of `text` as is ASCII and replaces ASCII, in blocks. The size stays as it is.
std::size_t TerminalLine::write_plain_over(std::size_t column, std::string_view text) {
  if (!marks_at_.empty()) return 0;
  std::array<unsigned char, 8> block;
  std::size_t done = 0;
  for (; text.size() - done >= block.size() && column + done + block.size() <= columns_.size(); done += block.size()) {
    std::memcpy(block.data(), text.data() + done, block.size());
    char32_t* const there = columns_.data() + column + done;
    // The first is at least 0x80 if one of the two is not ASCII; the second has its top bit set if a column holds 0.
    char32_t either = 0;
    char32_t less = 0;
    for (std::size_t i = 0; i < block.size(); ++i) {
      either |= there[i] | block[i];
      less |= there[i] - 1;
    }
    if (either >= 0x80 || less >= 0x80 || !alone(column + done + block.size() - 1)) break;
    for (std::size_t i = 0; i < block.size(); ++i) there[i] = block[i];
  }
  return done;
}

std::size_t TerminalLine::tab(std::size_t column) {
  make_columns();
  const std::size_t next = (column / kTabWidth + 1) * kTabWidth;
  if (column == columns_.size()) put(column, '\t', static_cast<unsigned>(next - column));
  return next;
}

void TerminalLine::erase(std::size_t from, std::size_t to) {
  make_columns();
  if (from >= columns_.size()) return;
  if (to >= columns_.size()) {
    blank_out(from);
    drop(from, columns_.size());
    return;
  }
  for (std::size_t column = from; column < to; ++column) put(column, ' ', 1);
}

void TerminalLine::remove(std::size_t from, std::size_t count) {
  make_columns();
  if (from >= columns_.size()) return;
  const std::size_t to = std::min(from + count, columns_.size());
  blank_out(from);
  if (to < columns_.size()) blank_out(to);
  drop(from, to);
}

void TerminalLine::insert(std::size_t from, std::size_t count) {
  make_columns();
  if (from >= columns_.size()) return;
  count = std::min(count, kColumnLimit);
  blank_out(from);
  columns_.insert(columns_.begin() + static_cast<std::ptrdiff_t>(from), count, U' ');
  if (!marks_at_.empty()) marks_at_.insert(marks_at_.begin() + static_cast<std::ptrdiff_t>(from), count, 0);
  size_ += count;
}

void TerminalLine::clear() {
  text_.clear();
  columns_.clear();
  marks_at_.clear();
  marks_.clear();
  in_columns_ = false;
  size_ = 0;
}

std::string TerminalLine::text() const {
  if (!in_columns_) return text_;
  std::string text;
  text.reserve(size_);
  for (std::size_t column = 0; column < columns_.size(); ++column) {
    if (columns_[column] != 0) text::append_utf8(text, columns_[column]);
    if (!marks_at_.empty() && marks_at_[column] != 0) text += marks_[marks_at_[column] - 1];
  }
  return text;
}

// Keeps only the marks that are still on a character.
void TerminalLine::forget_marks() {
  std::vector<std::string> kept;
  for (unsigned& at : marks_at_) {
    if (at == 0) continue;
    kept.push_back(std::move(marks_[at - 1]));
    at = static_cast<unsigned>(kept.size());
  }
  marks_ = std::move(kept);
}

void TerminalLine::make_columns() {
  if (in_columns_) return;
  in_columns_ = true;
  const std::string text = std::move(text_);
  text_.clear();
  append(text);
}

// Puts a character that takes one or more columns into them; blanks before it where the line is shorter.
void TerminalLine::put(std::size_t column, char32_t character, unsigned columns) {
  if (column + columns > columns_.size()) {
    size_ += column + columns - columns_.size();
    columns_.resize(column + columns, U' ');
    if (!marks_at_.empty()) marks_at_.resize(columns_.size());
  }
  for (unsigned i = 0; i < columns; ++i) blank_out(column + i);
  if (column + columns < columns_.size()) blank_out(column + columns);
  for (unsigned i = 0; i < columns; ++i) set(column + i, i == 0 ? character : 0);
}

// What was in the column is gone, its marks too.
void TerminalLine::set(std::size_t column, char32_t character) {
  size_ -= bytes_at(column);
  columns_[column] = character;
  if (!marks_at_.empty()) marks_at_[column] = 0;
  size_ += bytes_at(column);
}

// Makes a wide character or a tab of which `column` is not the first column blanks: it is about to be torn apart.
void TerminalLine::blank_out(std::size_t column) {
  if (columns_[column] != 0) return;
  std::size_t first = column;
  while (first > 0 && columns_[first] == 0) --first;
  for (std::size_t i = first; i < columns_.size() && (i == first || columns_[i] == 0); ++i) set(i, ' ');
}

void TerminalLine::drop(std::size_t from, std::size_t to) {
  for (std::size_t i = from; i < to; ++i) size_ -= bytes_at(i);
  const auto cut = [from, to](auto& list) {
    list.erase(list.begin() + static_cast<std::ptrdiff_t>(from), list.begin() + static_cast<std::ptrdiff_t>(to));
  };
  cut(columns_);
  if (!marks_at_.empty()) cut(marks_at_);
}

std::size_t TerminalLine::bytes_at(std::size_t column) const {
  const std::size_t character = columns_[column] != 0 ? text::utf8_size(columns_[column]) : 0;
  return character + (!marks_at_.empty() && marks_at_[column] != 0 ? marks_[marks_at_[column] - 1].size() : 0);
}

}  // namespace dstack::runner
