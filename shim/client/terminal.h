#pragma once

#include <termios.h>

#include <optional>

namespace dstack::shim::client {

struct TerminalSize {
  int rows = 0;
  int columns = 0;

  friend bool operator==(const TerminalSize&, const TerminalSize&) = default;
};

// Nothing if `fd` is not a terminal, or one that does not know its size.
std::optional<TerminalSize> terminal_size(int fd);

// A terminal whose keys come as they are typed, Ctrl-C among them, until this object is destroyed.
class RawTerminal {
 public:
  // Throws Error if `fd` is not a terminal.
  explicit RawTerminal(int fd);
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal();

 private:
  int fd_;
  termios before_{};
};

}  // namespace dstack::shim::client
