#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dstack::text {

// The first character of a text that may be cut anywhere, or not be UTF-8 at all.
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

// Whether all of `text` is valid characters.
bool is_utf8(std::string_view text);

// `text` with U+FFFD in place of whatever is not a valid character.
std::string valid_utf8(std::string_view text);

void append_utf8(std::string& text, char32_t character);

// How many bytes append_utf8() appends.
constexpr std::size_t utf8_size(char32_t character) {
  return character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
}

// How much of the beginning of `text` is whole valid characters, none of them a control character but, if `tabs`, the
// tab.
std::size_t printable_prefix(std::string_view text, bool tabs = true);

// The last place at or before `limit` where `text` can be cut without cutting a character in two.
std::size_t character_boundary(std::string_view text, std::size_t limit);

}  // namespace dstack::text
