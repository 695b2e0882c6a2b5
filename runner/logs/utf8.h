#pragma once

#include <cstddef>
#include <string>
#include <string_view>

// UTF-8 as it comes out of a job: perhaps cut anywhere, perhaps not UTF-8 at all.

namespace dstack::runner {

struct Utf8Character {
  enum class Kind {
    valid,
    invalid,     // `size` bytes that cannot become a character whatever follows
    incomplete,  // all of the text could be the beginning of one
  };
  Kind kind;
  unsigned size;
  char32_t character;  // for valid
};

// Looks at the first character of `text`, which is not empty. Surrogates, overlong forms and numbers beyond Unicode are
// invalid.
Utf8Character first_character(std::string_view text);

void append_utf8(std::string& text, char32_t character);

// How much of the beginning of `text` is whole valid characters, none of them a control character but the tab.
std::size_t printable_prefix(std::string_view text);

// The last place at or before `limit` where `text`, which is valid, can be cut without cutting a character.
std::size_t character_boundary(std::string_view text, std::size_t limit);

}  // namespace dstack::runner
