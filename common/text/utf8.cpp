#include "common/text/utf8.h"

#include <bit>
#include <cstdint>
#include <cstring>

namespace dstack::text {

namespace {

unsigned octet(std::string_view text, std::size_t index) { return static_cast<unsigned char>(text[index]); }

// Of eight bytes, the top bit of each that is not 0x20 … 0x7e: by far the most of what jobs print is.
std::uint64_t not_plain(const char* bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  constexpr std::uint64_t ones = 0x0101010101010101;
  constexpr std::uint64_t tops = 0x80 * ones;
  // A byte's top bit comes out set if it is below 0x20 (borrow), 0x7f (carry), or had it set from the start.
  const std::uint64_t below = (word | tops) - 0x20 * ones;
  const std::uint64_t above = (word & ~tops) + ones;
  return (~below | above | word) & tops;
}

// The size of the character of two or three bytes at the beginning of `bytes`, of which there are at least four; 0
// where first_character() has to look: it may be invalid or a control character, or has four bytes.
unsigned size_of_usual(const char* bytes) {
  static_assert(std::endian::native == std::endian::little);
  std::uint32_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  const std::uint32_t lead = word & 0xff;
  if ((word & 0xc0e0) == 0x80c0) return lead > 0xc2 ? 2 : 0;
  if ((word & 0xc0c0f0) == 0x8080e0) return lead != 0xe0 && lead != 0xed ? 3 : 0;
  return 0;
}

}  // namespace

Utf8Character first_character(std::string_view text) {
  using Kind = Utf8Character::Kind;
  const unsigned lead = octet(text, 0);
  if (lead < 0x80) return {Kind::valid, 1, lead};
  unsigned size = 0;
  unsigned least = 0x80;  // of the second byte
  unsigned most = 0xbf;
  char32_t character = 0;
  if (lead >= 0xc2 && lead <= 0xdf) {
    size = 2;
    character = lead & 0x1f;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    size = 3;
    character = lead & 0x0f;
    if (lead == 0xe0) least = 0xa0;
    if (lead == 0xed) most = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    size = 4;
    character = lead & 0x07;
    if (lead == 0xf0) least = 0x90;
    if (lead == 0xf4) most = 0x8f;
  } else {
    return {Kind::invalid, 1, 0};
  }
  for (unsigned i = 1; i < size; ++i) {
    if (i == text.size()) return {Kind::incomplete, i, 0};
    const unsigned next = octet(text, i);
    if (next < least || next > most) return {Kind::invalid, i, 0};
    character = character << 6 | (next & 0x3f);
    least = 0x80;
    most = 0xbf;
  }
  return {Kind::valid, size, character};
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Character first = first_character(text);
    if (first.kind != Utf8Character::Kind::valid) return false;
    text.remove_prefix(first.size);
  }
  return true;
}

void append_utf8(std::string& text, char32_t character) {
  const auto put = [&text](char32_t value) { text.push_back(static_cast<char>(static_cast<unsigned char>(value))); };
  if (character < 0x80) {
    put(character);
  } else if (character < 0x800) {
    put(0xc0 | character >> 6);
    put(0x80 | (character & 0x3f));
  } else if (character < 0x10000) {
    put(0xe0 | character >> 12);
    put(0x80 | (character >> 6 & 0x3f));
    put(0x80 | (character & 0x3f));
  } else {
    put(0xf0 | character >> 18);
    put(0x80 | (character >> 12 & 0x3f));
    put(0x80 | (character >> 6 & 0x3f));
    put(0x80 | (character & 0x3f));
  }
}

std::string valid_utf8(std::string_view text) {
  std::string valid;
  while (!text.empty()) {
    const Utf8Character character = first_character(text);
    if (character.kind == Utf8Character::Kind::valid) {
      valid.append(text.substr(0, character.size));
    } else {
      append_utf8(valid, 0xfffd);
    }
    text.remove_prefix(character.kind == Utf8Character::Kind::incomplete ? text.size() : character.size);
  }
  return valid;
}

std::size_t printable_prefix(std::string_view text, bool tabs) {
  std::size_t done = 0;
  while (true) {
    for (; text.size() - done >= 8; done += 8) {
      if (const std::uint64_t odd = not_plain(text.data() + done); odd != 0) {
        done += static_cast<std::size_t>(std::countr_zero(odd)) / 8;
        break;
      }
    }
    while (text.size() - done >= 4) {
      const unsigned size = size_of_usual(text.data() + done);
      if (size == 0) break;
      done += size;
    }
    if (done == text.size()) return done;
    const unsigned next = octet(text, done);
    if ((next >= 0x20 && next < 0x7f) || (tabs && next == '\t')) {
      ++done;
    } else if (next >= 0x80) {
      const Utf8Character character = first_character(text.substr(done));
      if (character.kind != Utf8Character::Kind::valid || character.character < 0xa0) return done;
      done += character.size;
    } else {
      return done;
    }
  }
}

std::size_t character_boundary(std::string_view text, std::size_t limit) {
  if (limit >= text.size()) return text.size();
  std::size_t boundary = limit;
  while (boundary > 0 && limit - boundary < 3 && (octet(text, boundary) & 0xc0) == 0x80) --boundary;
  return boundary;
}

}  // namespace dstack::text
