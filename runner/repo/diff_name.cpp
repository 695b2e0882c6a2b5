#include "runner/repo/diff_name.h"

#include <algorithm>
#include <format>

#include "common/error.h"
#include "common/files/entry_path.h"
#include "common/text/letter_case.h"

namespace dstack::runner::repo {

namespace {

Error malformed(std::string_view name) {
  return {ErrorKind::invalid, std::format("the quoted name {} is malformed", printable(name))};
}

char escaped(char letter, std::string_view name) {
  switch (letter) {
    case 'a': return '\a';
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'v': return '\v';
    case '\\':
    case '"': return letter;
    default: throw malformed(name);
  }
}

// Where the quoted name at the start of `text` ends, behind its closing quote.
std::size_t quoted_length(std::string_view text) {
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      return i + 1;
    }
  }
  throw malformed(text);
}

std::string_view without_prefix(std::string_view path) {
  const std::size_t slash = path.find('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
}

bool is_git_folder(std::string_view part) {
  // Also as other systems' file systems would take it.
  const std::string lower = text::lower_case(part);
  return lower == ".git" || lower == "git~1";
}

}  // namespace

std::string unquoted(std::string_view name) {
  if (!name.starts_with('"')) return std::string(name);
  if (quoted_length(name) != name.size()) throw malformed(name);
  std::string result;
  for (std::size_t i = 1; i + 1 < name.size(); ++i) {
    if (name[i] != '\\') {
      result += name[i];
      continue;
    }
    ++i;
    const auto is_octal = [&name](std::size_t at) {
      return at + 1 < name.size() && name[at] >= '0' && name[at] <= '7';
    };
    if (is_octal(i)) {
      if (!is_octal(i + 1) || !is_octal(i + 2) || name[i] > '3') throw malformed(name);
      result += static_cast<char>((name[i] - '0') * 64 + (name[i + 1] - '0') * 8 + (name[i + 2] - '0'));
      i += 2;
    } else {
      result += escaped(name[i], name);
    }
  }
  return result;
}

std::string common_name(std::string_view names) {
  std::string first;
  std::string second;
  if (names.starts_with('"')) {
    const std::size_t length = quoted_length(names);
    if (length >= names.size() || names[length] != ' ') return "";
    first = unquoted(names.substr(0, length));
    second = unquoted(names.substr(length + 1));
  } else {
    // Both are of one length, so blanks in them do not matter.
    const std::size_t middle = names.size() / 2;
    if (names.size() < 3 || names[middle] != ' ') return "";
    first = names.substr(0, middle);
    second = names.substr(middle + 1);
  }
  if (first == second) return first;
  const std::string_view path = without_prefix(first);
  return path == without_prefix(second) ? std::string(path) : "";
}

std::string checked_diff_path(std::string_view path) {
  std::string checked = files::entry_path(path);
  if (checked.empty()) throw Error(ErrorKind::invalid, std::format("{} is not a file name", printable(path)));
  for (std::size_t start = 0; start <= checked.size();) {
    const std::size_t end = std::min(checked.find('/', start), checked.size());
    if (is_git_folder(std::string_view(checked).substr(start, end - start))) {
      throw Error(ErrorKind::invalid, std::format("{} is inside the .git folder", printable(path)));
    }
    start = end + 1;
  }
  return checked;
}

}  // namespace dstack::runner::repo
