#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dstack::runner::repo {

// A file's mode as git has it.
inline constexpr mode_t kLinkMode = 0120000;
inline constexpr mode_t kSubmoduleMode = 0160000;

// One "@@ -a,b +c,d @@" with its lines. Lines are whole, with their newline; the last one of a file may have none.
struct Hunk {
  std::string_view header;
  std::size_t old_start = 0;
  std::size_t old_count = 0;
  std::size_t new_start = 0;
  std::size_t new_count = 0;
  std::vector<std::string_view> old_lines;
  std::vector<std::string_view> new_lines;
  // How many of both are unchanged ones at the hunk's begin and end.
  std::size_t leading_context = 0;
  std::size_t trailing_context = 0;
};

// A "GIT binary patch": the new content itself, or what makes it of the old.
struct BinaryPatch {
  enum class Form { literal, delta };
  Form form = Form::literal;
  std::size_t size = 0;      // of the content or the delta, when decoded
  std::string_view encoded;  // lines of base85
};

// What a diff says of one file.
struct FileDiff {
  enum class Change { edit, create, remove, rename, copy };
  Change change = Change::edit;
  std::string old_path;  // both without prefix, checked to lie below the folder, and outside of .git
  std::string new_path;
  std::optional<mode_t> old_mode;
  std::optional<mode_t> new_mode;
  std::vector<Hunk> hunks;
  std::optional<BinaryPatch> binary;
  // "Binary files differ": the diff was made without --binary.
  bool content_left_out = false;
};

// Everything that git diff prints, with any of its prefixes (a/ b/, mnemonic ones, none). Views point into `text`,
// which ends with a newline. What is no part of a file's diff is passed over, as git apply does. Throws Error (invalid)
// that names the line or the file.
std::vector<FileDiff> parse_diff(std::string_view text);

}  // namespace dstack::runner::repo
