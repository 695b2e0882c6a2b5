#include "runner/logs/escape_parser.h"

#include <algorithm>

#include "common/text/utf8.h"

namespace dstack::runner {

namespace {

constexpr unsigned char kEscapeByte = 0x1b;
constexpr unsigned char kCancel = 0x18;
constexpr unsigned char kSubstitute = 0x1a;
constexpr unsigned char kBell = 0x07;
constexpr unsigned kParameterLimit = 65535;
// A string that is longer never had an end: what follows is text again.
constexpr std::size_t kStringLimit = std::size_t{16} << 20;

bool is_control(unsigned char byte) { return byte < 0x20 || byte == 0x7f; }

}  // namespace

Attribute attribute_at(std::string_view bytes) {
  constexpr std::string_view kBegin = "\x1b[";
  if (!bytes.starts_with(kBegin.substr(0, bytes.size()))) return {Attribute::Kind::none, 0};
  std::size_t end = kBegin.size();
  while (end < bytes.size() && bytes[end] >= '0' && bytes[end] <= ';') ++end;
  if (end >= bytes.size()) return {Attribute::Kind::incomplete, 0};
  if (bytes[end] != 'm') return {Attribute::Kind::none, 0};
  return {Attribute::Kind::complete, end + 1};
}

std::size_t EscapeParser::take_line(std::string_view bytes, TerminalActions& actions) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    if (state_ == State::ground) done += take_text(bytes.substr(done), actions);
    if (done == bytes.size()) break;
    const auto byte = static_cast<unsigned char>(bytes[done]);
    // Text in the middle of nothing is taken_text's; it has made it ground's turn again.
    if (state_ == State::ground && !is_control(byte)) continue;
    take_byte(byte, actions);
    ++done;
    if (byte == '\n') break;
  }
  return done;
}

// Prints what can be printed at the beginning of `bytes`; stops before a control character.
std::size_t EscapeParser::take_text(std::string_view bytes, TerminalActions& actions) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    // A character that has begun in an earlier piece goes on byte by byte.
    const std::string_view rest = bytes.substr(done);
    if (character_.empty()) {
      if (const std::size_t printable = text::printable_prefix(rest, false); printable > 0) {
        actions.print(rest.substr(0, printable));
        done += printable;
        continue;
      }
      if (const Attribute colour = attribute_at(rest); colour.kind == Attribute::Kind::complete) {
        done += colour.size;
        continue;
      }
      if (is_control(static_cast<unsigned char>(rest.front()))) return done;
    } else if (is_control(static_cast<unsigned char>(rest.front()))) {
      character_.clear();
      return done;
    }
    character_.push_back(rest.front());
    const text::Utf8Character first = text::first_character(character_);
    switch (first.kind) {
      case text::Utf8Character::Kind::incomplete: ++done; break;
      case text::Utf8Character::Kind::invalid:
        // The byte that showed it begins something new, unless it is all there is.
        if (character_.size() == 1) ++done;
        character_.clear();
        break;
      case text::Utf8Character::Kind::valid:
        ++done;
        if (first.character >= 0xa0) {
          actions.print(character_);
        } else if (first.character >= 0x80) {
          // U+0080 … U+009F stand for ESC and a letter.
          character_.clear();
          begin_escape(static_cast<unsigned char>(first.character - 0x40), actions);
          return done;
        }
        // An ASCII character cannot get here: it is printable or a control.
        character_.clear();
        break;
    }
  }
  return done;
}

// One byte that is a control character or within a sequence.
void EscapeParser::take_byte(unsigned char byte, TerminalActions& actions) {
  if (byte == kEscapeByte) {
    state_ = State::escape;
    return;
  }
  if (byte == kCancel || byte == kSubstitute) {
    state_ = State::ground;
    return;
  }
  switch (state_) {
    case State::ground: take_control(byte, actions); return;
    case State::escape:
    case State::intermediate:
    case State::sequence:
      // A line's end, or any other control character, in a sequence: it was never finished. Likewise with bytes that no
      // sequence contains, which are dropped with it.
      if (is_control(byte) || byte >= 0x80) {
        state_ = State::ground;
        if (is_control(byte)) take_control(byte, actions);
      } else if (state_ == State::escape) {
        begin_escape(byte, actions);
      } else if (state_ == State::intermediate) {
        if (byte >= 0x30) state_ = State::ground;
      } else {
        take_sequence_byte(byte, actions);
      }
      return;
    case State::title:
    case State::text:
    case State::device:
      if (state_ == State::device && !many_lines_ && byte >= 0x40 && byte <= 0x7e) {
        // The first letter says what it is: q is a sixel picture.
        many_lines_ = byte == 'q';
        if (!many_lines_) state_ = State::text;
      }
      if (byte == '\n' && !(state_ == State::device && many_lines_)) {
        state_ = State::ground;
        take_control(byte, actions);
      } else if ((byte == kBell && state_ == State::title) || ++string_size_ > kStringLimit) {
        state_ = State::ground;
      }
      return;
  }
}

void EscapeParser::take_control(unsigned char byte, TerminalActions& actions) {
  if (byte >= '\b' && byte <= '\r') actions.control(static_cast<char>(byte));
}

// The byte after ESC.
void EscapeParser::begin_escape(unsigned char byte, TerminalActions& actions) {
  string_size_ = 0;
  many_lines_ = false;
  switch (byte) {
    case '[':
      state_ = State::sequence;
      sequence_ = {};
      return;
    case ']': state_ = State::title; return;
    case 'P': state_ = State::device; return;
    case 'X':
    case '^':
    case '_': state_ = State::text; return;
    default: break;
  }
  if (byte < 0x30) {
    state_ = State::intermediate;
    return;
  }
  state_ = State::ground;
  actions.escape(static_cast<char>(byte));
}

void EscapeParser::take_sequence_byte(unsigned char byte, TerminalActions& actions) {
  if (byte >= 0x40) {
    state_ = State::ground;
    sequence_.final = static_cast<char>(byte);
    sequence_.count = std::min(sequence_.count, sequence_.parameters.size());
    actions.sequence(sequence_);
  } else if (byte >= '0' && byte <= '9') {
    if (sequence_.count == 0) sequence_.count = 1;
    if (sequence_.count > sequence_.parameters.size()) return;
    unsigned& parameter = sequence_.parameters[sequence_.count - 1];
    parameter = std::min(parameter * 10 + (byte - '0'), kParameterLimit);
  } else if (byte == ';' || byte == ':') {
    sequence_.count = std::min(std::max<std::size_t>(sequence_.count, 1) + 1, sequence_.parameters.size() + 1);
  } else {
    sequence_.marked = true;
  }
}

}  // namespace dstack::runner
