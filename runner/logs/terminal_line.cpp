#include "runner/logs/terminal_line.h"

#include <algorithm>

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
  make_cells();
  return cells_.size();
}

void TerminalLine::append(std::string_view text) {
  if (!in_cells_) {
    text_.append(text);
    return;
  }
  while (!text.empty()) {
    const text::Utf8Character first = text::first_character(text);
    if (first.character == '\t') {
      tab(cells_.size());
    } else {
      write(cells_.size(), first.character);
    }
    text.remove_prefix(first.size);
  }
}

std::size_t TerminalLine::write(std::size_t column, char32_t character) {
  make_cells();
  const unsigned columns = columns_of(character);
  if (columns > 0) {
    put(column, character, columns);
    return column + columns;
  }
  // Joins the character before the cursor; with none there, there is nothing to see.
  std::size_t owner = std::min(column, cells_.size());
  while (owner > 0 && cells_[owner - 1].character == 0) --owner;
  if (owner == 0) return column;
  if (marks_.size() > cells_.size() + kMarksKept) forget_marks();
  Cell& cell = cells_[owner - 1];
  if (cell.marks == 0) {
    marks_.emplace_back();
    cell.marks = static_cast<unsigned>(marks_.size());
  }
  std::string& marks = marks_[cell.marks - 1];
  if (marks.size() + 4 <= kMarksLimit) {
    text::append_utf8(marks, character);
    size_ += text::utf8_size(character);
  }
  return column;
}

std::size_t TerminalLine::write_over(std::size_t column, std::string_view text) {
  make_cells();
  std::size_t done = 0;
  for (; done < text.size() && column + done < cells_.size(); ++done) {
    const auto character = static_cast<unsigned char>(text[done]);
    Cell& cell = cells_[column + done];
    const bool alone = column + done + 1 == cells_.size() || cells_[column + done + 1].character != 0;
    if (character >= 0x80 || cell.character == 0 || !alone) break;
    size_ -= bytes_of(cell);
    cell = {.character = character};
    ++size_;
  }
  return done;
}

std::size_t TerminalLine::tab(std::size_t column) {
  make_cells();
  const std::size_t next = (column / kTabWidth + 1) * kTabWidth;
  if (column == cells_.size()) put(column, '\t', static_cast<unsigned>(next - column));
  return next;
}

void TerminalLine::erase(std::size_t from, std::size_t to) {
  make_cells();
  if (from >= cells_.size()) return;
  if (to >= cells_.size()) {
    blank_out(from);
    drop(from, cells_.size());
    return;
  }
  for (std::size_t column = from; column < to; ++column) put(column, ' ', 1);
}

void TerminalLine::remove(std::size_t from, std::size_t count) {
  make_cells();
  if (from >= cells_.size()) return;
  const std::size_t to = std::min(from + count, cells_.size());
  blank_out(from);
  if (to < cells_.size()) blank_out(to);
  drop(from, to);
}

void TerminalLine::insert(std::size_t from, std::size_t count) {
  make_cells();
  if (from >= cells_.size()) return;
  count = std::min(count, kColumnLimit);
  blank_out(from);
  cells_.insert(cells_.begin() + static_cast<std::ptrdiff_t>(from), count, Cell{});
  size_ += count;
}

void TerminalLine::clear() {
  text_.clear();
  cells_.clear();
  marks_.clear();
  in_cells_ = false;
  size_ = 0;
}

std::string TerminalLine::text() const {
  if (!in_cells_) return text_;
  std::string text;
  text.reserve(size_);
  for (const Cell& cell : cells_) {
    if (cell.character != 0) text::append_utf8(text, cell.character);
    if (cell.marks != 0) text += marks_[cell.marks - 1];
  }
  return text;
}

// Keeps only the marks that are still on a character.
void TerminalLine::forget_marks() {
  std::vector<std::string> kept;
  for (Cell& cell : cells_) {
    if (cell.marks == 0) continue;
    kept.push_back(std::move(marks_[cell.marks - 1]));
    cell.marks = static_cast<unsigned>(kept.size());
  }
  marks_ = std::move(kept);
}

void TerminalLine::make_cells() {
  if (in_cells_) return;
  in_cells_ = true;
  const std::string text = std::move(text_);
  text_.clear();
  append(text);
}

// Puts a character that takes one or more columns into them; blanks before it where the line is shorter.
void TerminalLine::put(std::size_t column, char32_t character, unsigned columns) {
  if (column + columns > cells_.size()) {
    size_ += column + columns - cells_.size();
    cells_.resize(column + columns);
  }
  for (unsigned i = 0; i < columns; ++i) blank_out(column + i);
  if (column + columns < cells_.size()) blank_out(column + columns);
  for (unsigned i = 0; i < columns; ++i) {
    Cell& cell = cells_[column + i];
    size_ -= bytes_of(cell);
    cell = {.character = i == 0 ? character : 0};
    size_ += bytes_of(cell);
  }
}

// Makes a wide character or a tab of which `column` is not the first column blanks: it is about to be torn apart.
void TerminalLine::blank_out(std::size_t column) {
  if (cells_[column].character != 0) return;
  std::size_t first = column;
  while (first > 0 && cells_[first].character == 0) --first;
  for (std::size_t i = first; i < cells_.size() && (i == first || cells_[i].character == 0); ++i) {
    size_ -= bytes_of(cells_[i]);
    cells_[i] = {};
    ++size_;
  }
}

void TerminalLine::drop(std::size_t from, std::size_t to) {
  for (std::size_t i = from; i < to; ++i) size_ -= bytes_of(cells_[i]);
  cells_.erase(cells_.begin() + static_cast<std::ptrdiff_t>(from), cells_.begin() + static_cast<std::ptrdiff_t>(to));
}

std::size_t TerminalLine::bytes_of(const Cell& cell) const {
  return (cell.character != 0 ? text::utf8_size(cell.character) : 0) +
         (cell.marks != 0 ? marks_[cell.marks - 1].size() : 0);
}

}  // namespace dstack::runner
