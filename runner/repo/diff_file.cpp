#include "runner/repo/diff_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "common/error.h"
#include "common/os/file.h"
#include "runner/repo/mapping.h"
#include "runner/repo/spool.h"

namespace dstack::runner::repo {

namespace {

constexpr std::string_view kDiffFileStart = "diff --git ";

// The colour at the start of `text`, ESC [ numbers m; empty for anything else.
std::string_view colour_at(std::string_view text) {
  if (!text.starts_with("\x1b[")) return {};
  const std::size_t end = text.find_first_not_of("0123456789;", 2);
  return end != std::string_view::npos && text[end] == 'm' ? text.substr(0, end + 1) : std::string_view();
}

bool is_reset(std::string_view colour) { return colour == "\x1b[m" || colour == "\x1b[0m"; }

void skip_colours(std::string_view& text) {
  while (!colour_at(text).empty()) text.remove_prefix(colour_at(text).size());
}

std::string_view take_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  return line;
}

bool is_content(char sign) { return sign == '+' || sign == '-' || sign == ' '; }

}  // namespace

bool is_coloured(std::string_view diff) {
  while (!diff.empty()) {
    std::string_view line = take_line(diff);
    if (line.starts_with(kDiffFileStart)) return false;
    if (colour_at(line).empty()) continue;
    skip_colours(line);
    if (line.starts_with(kDiffFileStart)) return true;
  }
  return false;
}

// git colours a line of content in stretches: a colour, some text, a reset, then maybe the next colour (that marks
// blanks at the line's end). A colour anywhere else is the content's own.
std::string without_colours(std::string_view line) {
  std::string plain;
  skip_colours(line);
  // Of the names in headers git escapes what is no plain character.
  const bool content = !line.empty() && is_content(line[0]) && !line.starts_with("--- ") && !line.starts_with("+++ ");
  while (!line.empty()) {
    const std::string_view colour = colour_at(line);
    if (colour.empty()) {
      plain += line[0];
      line.remove_prefix(1);
      continue;
    }
    std::string_view behind = line.substr(colour.size());
    if (!content) {
      line = behind;
      continue;
    }
    // git leaves the tabs of an indentation without a colour.
    const bool indentation = plain.find_first_not_of(" \t", 1) == std::string::npos;
    const std::string_view blanks =
        indentation ? behind.substr(0, behind.find_first_not_of(" \t")) : std::string_view();
    behind.remove_prefix(blanks.size());
    const std::string_view next = colour_at(behind);
    if (is_reset(colour) && (behind.empty() || (!next.empty() && !is_reset(next)))) {
      plain += blanks;
      behind.remove_prefix(next.size());
      line = behind;
    } else {
      plain += colour;
      line.remove_prefix(colour.size());
    }
  }
  return plain;
}

void read_diff(const std::filesystem::path& file, const std::filesystem::path& scratch,
               const std::function<void(std::string_view)>& take) {
  const os::UniqueFd opened = os::open_file(file, O_RDONLY);
  struct stat status{};
  if (::fstat(opened.get(), &status) != 0) throw os_error("look at", file.string());
  const Mapping mapping(opened.get(), 0, static_cast<std::uint64_t>(status.st_size));
  std::string_view text = mapping.view();
  const bool coloured = is_coloured(text);
  if (!coloured && (text.empty() || text.ends_with('\n'))) return take(text);
  Spool spool(scratch);
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    spool.append(coloured ? without_colours(line) : line);
    spool.append("\n");
  }
  spool.read(spool.since(0), take);
}

}  // namespace dstack::runner::repo
