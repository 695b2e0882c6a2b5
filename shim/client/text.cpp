#include "shim/client/text.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "common/text/escape.h"
#include "common/text/split.h"
#include "common/text/utf8.h"

namespace dstack::shim::client {

namespace {

// Of UTF-8, as legible() leaves it.
bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

}  // namespace

std::string legible(std::string_view text, std::size_t limit) {
  const std::string_view kept = text.substr(0, text::character_boundary(text, limit));
  return text::escape_controls(kept) + (kept.size() < text.size() ? "…" : "");
}

std::string ending_of(const TaskEntry& task) {
  std::string text = legible(task.termination_reason);
  std::string_view separator = ": ";
  for (const std::string_view line : text::split_lines(task.termination_message)) {
    text += separator;
    text += legible(line);
    separator = "\n  ";
  }
  return text;
}

std::size_t columns(std::string_view text) {
  std::size_t count = 0;
  for (const char byte : text) count += continues(byte) ? 0 : 1;
  return count;
}

std::string shortened(std::string_view text, std::size_t limit, Keep keep) {
  if (columns(text) <= limit) return std::string(text);
  if (limit == 0) return {};
  std::size_t left = keep == Keep::beginning ? limit - 1 : columns(text) - (limit - 1);
  std::size_t position = 0;
  while (position < text.size() && (left > 0 || continues(text[position]))) {
    if (!continues(text[position])) --left;
    ++position;
    while (position < text.size() && continues(text[position])) ++position;
  }
  return keep == Keep::beginning ? std::string(text.substr(0, position)) + "…"
                                 : "…" + std::string(text.substr(position));
}

std::optional<std::size_t> terminal_width(int fd) {
  if (::isatty(fd) != 1) return std::nullopt;
  winsize size{};
  // A terminal that does not know its size has none, as one at the end of a serial line.
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : std::size_t{80};
}

}  // namespace dstack::shim::client
