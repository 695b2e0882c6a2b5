#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace dstack::runner {

// One line of a terminal that is as wide as it needs to be. As long as text is only appended it is a string; what it
// takes to write over it, columns, is worked out when the cursor is moved.
class TerminalLine {
 public:
  bool empty() const { return text_.empty() && columns_.empty(); }
  // Bytes of text. One write, wherever it is, adds no more than `slack`.
  std::size_t size() const { return in_columns_ ? size_ : text_.size(); }
  static constexpr std::size_t kSlack = 1200;

  // Nothing has been written over yet: append() costs next to nothing.
  bool only_appended() const { return !in_columns_; }
  std::string_view appended() const { return text_; }
  // Columns up to the end of the text.
  std::size_t width();

  // Valid UTF-8 without control characters but tabs, after all that is there.
  void append(std::string_view text);

  // Writes one character at `column`, which may be beyond the end, over what is there. Returns the next column.
  std::size_t write(std::size_t column, char32_t character);
  // The same for as much of the beginning of `text` as replaces what is there column by column: characters of one
  // column over others of one column, before the end of the line, each while the line has at most `limit` bytes.
  struct Written {
    std::size_t bytes = 0;  // of `text`
    std::size_t columns = 0;
  };
  Written write_over(std::size_t column, std::string_view text, std::size_t limit);
  // Moves over what is there, or adds a tab at the end. Returns the next column.
  std::size_t tab(std::size_t column);

  void erase(std::size_t from, std::size_t to);      // with blanks; to the end: cuts it off
  void remove(std::size_t from, std::size_t count);  // what is behind moves up
  void insert(std::size_t from, std::size_t count);  // blanks; what is behind moves away
  void clear();

  std::string text() const;

  // Moves to the right and blanks that are asked for end here, where the text is not longer: a few bytes of control
  // sequence must not become a page of blanks.
  static constexpr std::size_t kColumnLimit = 1000;

 private:
  void make_columns();
  void forget_marks();
  void put(std::size_t column, char32_t character, unsigned columns);
  void set(std::size_t column, char32_t character);
  void blank_out(std::size_t column);
  void drop(std::size_t from, std::size_t to);
  std::size_t bytes_at(std::size_t column) const;
  bool alone(std::size_t column) const {
    return columns_[column] != 0 && (column + 1 == columns_.size() || columns_[column + 1] != 0);
  }
  std::size_t write_plain_over(std::size_t column, std::string_view text);

  std::string text_;
  bool in_columns_ = false;
  // What each column holds: a character, or 0 where one that began further left goes on.
  std::vector<char32_t> columns_;
  // Characters of no width that join the one in a column: which of marks_, counted from 1, or 0. Empty while there are
  // none, as nearly always.
  std::vector<unsigned> marks_at_;
  std::vector<std::string> marks_;
  std::size_t size_ = 0;
};

}  // namespace dstack::runner
