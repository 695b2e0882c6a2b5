#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace dstack::runner {

// A control sequence, "ESC [ 2 ; 5 H".
struct ControlSequence {
  char final = 0;
  bool marked = false;  // has a '?', '>' or an intermediate byte: none of those moves the cursor
  std::array<unsigned, 4> parameters{};
  std::size_t count = 0;

  // The parameter where it is there and not 0, else `fallback`.
  unsigned parameter(std::size_t index, unsigned fallback) const {
    return index < count && parameters[index] != 0 ? parameters[index] : fallback;
  }
};

// A colour or another attribute of text at the beginning of `bytes`, "ESC [ 1 ; 31 m". Most sequences by far are such,
// and nothing comes of them here.
struct Attribute {
  enum class Kind { none, incomplete, complete };
  Kind kind;
  std::size_t size;  // of a complete one
};
Attribute attribute_at(std::string_view bytes);

// What the stream of a terminal is made of. Titles, links, colours and the like are not worth a call.
class TerminalActions {
 public:
  virtual ~TerminalActions() = default;
  virtual void print(std::string_view text) = 0;  // valid UTF-8 without control characters
  virtual void control(char control) = 0;         // \b \t \n \v \f \r
  virtual void sequence(const ControlSequence& sequence) = 0;
  virtual void escape(char final) = 0;  // "ESC M"
};

// Takes apart what a job writes to its terminal, in pieces of any size. Keeps a few bytes of state, whatever comes.
class EscapeParser {
 public:
  // Takes bytes up to the first newline, that included, or all of them; returns how many.
  std::size_t take_line(std::string_view bytes, TerminalActions& actions);

  // Nothing has begun that is not complete.
  bool idle() const { return state_ == State::ground && character_.empty(); }

 private:
  enum class State { ground, escape, intermediate, sequence, title, device, text };

  std::size_t take_text(std::string_view bytes, TerminalActions& actions);
  void take_byte(unsigned char byte, TerminalActions& actions);
  void take_control(unsigned char byte, TerminalActions& actions);
  void begin_escape(unsigned char byte, TerminalActions& actions);
  void take_sequence_byte(unsigned char byte, TerminalActions& actions);

  State state_ = State::ground;
  std::string character_;  // the beginning of a UTF-8 character
  ControlSequence sequence_;
  bool many_lines_ = false;      // the device string is a picture, which may hold line ends
  std::size_t string_size_ = 0;  // of a title, device or text string
};

}  // namespace dstack::runner
