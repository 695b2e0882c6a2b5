#include "runner/repo/diff.h"

#include <algorithm>
#include <charconv>
#include <format>

#include "common/error.h"
#include "common/text/number.h"
#include "runner/repo/diff_name.h"

namespace dstack::runner::repo {

namespace {

constexpr std::string_view kFileStart = "diff --git ";

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  std::vector<FileDiff> run() {
    std::vector<FileDiff> files;
    while (!rest_.empty()) {
      const std::string_view line = take_line();
      if (line.starts_with(kFileStart)) {
        files.push_back(file(line.substr(kFileStart.size())));
      } else if (line.starts_with("diff --cc ") || line.starts_with("diff --combined ")) {
        throw error(std::format("{} is in the middle of a merge", printable(line.substr(line.find(' ', 7) + 1))));
      } else if (line.starts_with("@@ -")) {
        throw error("a hunk without a file");
      }
    }
    return files;
  }

 private:
  Error error(std::string_view reason) const {
    return {ErrorKind::invalid, std::format("line {} of the diff: {}", line_number_, reason)};
  }

  // Without its newline.
  std::string_view take_line() {
    const std::string_view line = peek_line();
    rest_.remove_prefix(std::min(line.size() + 1, rest_.size()));
    ++line_number_;
    return line;
  }
  std::string_view peek_line() const { return rest_.substr(0, rest_.find('\n')); }

  // The number at the start of `text`, which loses it.
  std::size_t number(std::string_view& text) const {
    std::size_t value = 0;
    const auto [end, result] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (result != std::errc{}) throw error("a number is expected");
    // No file has so many lines or bytes; what is counted with it later does not overflow.
    constexpr std::size_t most = std::size_t{1} << 48;
    if (value > most) throw error(std::format("the number {} is too large", value));
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return value;
  }

  mode_t mode(std::string_view text) const {
    const auto value = text::parse_number<mode_t>(text, 8);
    const mode_t type = value.value_or(0) & 0170000;
    if (!value || (type != 0100000 && type != kLinkMode && type != kSubmoduleMode)) {
      throw error(std::format("{} is not a file mode", printable(text)));
    }
    return *value;
  }

  FileDiff file(std::string_view names) {
    FileDiff file;
    while (!rest_.empty() && header(peek_line(), file)) take_line();
    if (file.change != FileDiff::Change::rename && file.change != FileDiff::Change::copy) {
      file.new_path = file.old_path = common_name(names);
      if (file.new_path.empty()) throw error(std::format("the names in {} cannot be told apart", printable(names)));
    }
    file.old_path = checked_diff_path(file.old_path);
    file.new_path = checked_diff_path(file.new_path);
    content(file);
    return file;
  }

  // One line of the part before the content; false for the first that is none.
  bool header(std::string_view line, FileDiff& file) {
    const auto value = [&line](std::string_view name) -> std::optional<std::string_view> {
      if (!line.starts_with(name)) return std::nullopt;
      return line.substr(name.size());
    };
    if (const auto text = value("old mode ")) {
      file.old_mode = mode(*text);
    } else if (const auto new_mode = value("new mode ")) {
      file.new_mode = mode(*new_mode);
    } else if (const auto deleted = value("deleted file mode ")) {
      file.change = FileDiff::Change::remove;
      file.old_mode = mode(*deleted);
    } else if (const auto created = value("new file mode ")) {
      file.change = FileDiff::Change::create;
      file.new_mode = mode(*created);
    } else if (const auto from = value("rename from ")) {
      file.change = FileDiff::Change::rename;
      file.old_path = unquoted(*from);
    } else if (const auto to = value("rename to ")) {
      file.new_path = unquoted(*to);
    } else if (const auto copied = value("copy from ")) {
      file.change = FileDiff::Change::copy;
      file.old_path = unquoted(*copied);
    } else if (const auto copy = value("copy to ")) {
      file.new_path = unquoted(*copy);
    } else if (const auto index = value("index ")) {
      const std::size_t blank = index->find(' ');
      if (blank != std::string_view::npos) file.old_mode = file.new_mode = mode(index->substr(blank + 1));
    } else {
      return line.starts_with("similarity index ") || line.starts_with("dissimilarity index ");
    }
    return true;
  }

  void content(FileDiff& file) {
    const std::string_view line = peek_line();
    if (line == "GIT binary patch") {
      take_line();
      file.binary = binary();
    } else if (line.starts_with("Binary files ")) {
      take_line();
      file.content_left_out = true;
    } else if (line.starts_with("--- ")) {
      take_line();
      if (!peek_line().starts_with("+++ ")) throw error("a line +++ is expected");
      take_line();
      if (!peek_line().starts_with("@@ -")) throw error("a hunk is expected");
      while (peek_line().starts_with("@@ -")) file.hunks.push_back(hunk());
    }
  }

  // The first of the two that stand there, which leads from the old content to the new one.
  BinaryPatch binary() {
    std::string_view line = take_line();
    BinaryPatch patch;
    if (line.starts_with("literal ")) {
      line.remove_prefix(8);
    } else if (line.starts_with("delta ")) {
      patch.form = BinaryPatch::Form::delta;
      line.remove_prefix(6);
    } else {
      throw error("the kind of a binary patch is unknown");
    }
    patch.size = number(line);
    const char* start = rest_.data();
    while (!rest_.empty() && !peek_line().empty()) take_line();
    patch.encoded = {start, static_cast<std::size_t>(rest_.data() - start)};
    return patch;
  }

  // "12,3" or "12", which means "12,1".
  void range(std::string_view& text, std::size_t& start, std::size_t& count) const {
    start = number(text);
    count = 1;
    if (!text.starts_with(',')) return;
    text.remove_prefix(1);
    count = number(text);
  }

  Hunk hunk() {
    Hunk hunk;
    hunk.header = take_line();
    std::string_view text = hunk.header.substr(4);
    range(text, hunk.old_start, hunk.old_count);
    if (!text.starts_with(" +")) throw error("a hunk's header is malformed");
    text.remove_prefix(2);
    range(text, hunk.new_start, hunk.new_count);
    if (!text.starts_with(" @@")) throw error("a hunk's header is malformed");
    while (hunk.old_lines.size() < hunk.old_count || hunk.new_lines.size() < hunk.new_count) hunk_line(hunk);
    if (hunk.old_lines.size() != hunk.old_count || hunk.new_lines.size() != hunk.new_count) {
      throw error("a hunk's line counts do not match its header");
    }
    // The mark of a missing newline may follow the last line.
    if (rest_.starts_with('\\')) no_newline(hunk);
    return hunk;
  }

  void hunk_line(Hunk& hunk) {
    if (rest_.empty()) throw error("the diff ends inside a hunk");
    const char kind = rest_[0];
    const std::size_t length = take_line_with_end().size();
    std::string_view line(rest_.data() - length, length);
    // Mail programs take the blank away from an empty line of context.
    if (kind != '\n') line.remove_prefix(1);
    last_kind_ = kind;
    switch (kind) {
      case '-':
        hunk.old_lines.push_back(line);
        hunk.trailing_context = 0;
        changed_ = true;
        break;
      case '+':
        hunk.new_lines.push_back(line);
        hunk.trailing_context = 0;
        changed_ = true;
        break;
      case ' ':
      case '\n':
        if (hunk.old_lines.empty() && hunk.new_lines.empty()) changed_ = false;
        hunk.old_lines.push_back(line);
        hunk.new_lines.push_back(line);
        ++(changed_ ? hunk.trailing_context : hunk.leading_context);
        break;
      case '\\': throw error("a \"no newline\" mark without a line");
      default: throw error("a hunk's line begins with neither ' ', '+' nor '-'");
    }
    if (rest_.starts_with('\\')) no_newline(hunk);
  }

  std::string_view take_line_with_end() {
    const std::size_t size = std::min(rest_.find('\n') + 1, rest_.size());
    const std::string_view line = rest_.substr(0, size);
    rest_.remove_prefix(size);
    ++line_number_;
    return line;
  }

  void no_newline(Hunk& hunk) {
    take_line();
    const auto cut = [](std::vector<std::string_view>& lines) {
      if (!lines.empty() && lines.back().ends_with('\n')) lines.back().remove_suffix(1);
    };
    if (last_kind_ != '+') cut(hunk.old_lines);
    if (last_kind_ != '-') cut(hunk.new_lines);
  }

  std::string_view rest_;
  std::size_t line_number_ = 0;
  char last_kind_ = ' ';
  bool changed_ = false;
};

}  // namespace

std::vector<FileDiff> parse_diff(std::string_view text) { return Parser(text).run(); }

}  // namespace dstack::runner::repo
