#include "shim/client/job_output.h"

#include <deque>
#include <utility>

#include "common/error.h"
#include "shim/client/output.h"

namespace dstack::shim::client {

std::string TerminalOutput::take(std::string_view piece) {
  std::string bytes;
  bytes.reserve(piece.size() + 1);
  for (const char byte : piece) {
    if (carriage_return_ && byte != '\n') bytes += '\r';
    carriage_return_ = byte == '\r';
    if (!carriage_return_) bytes += byte;
  }
  return bytes;
}

std::string TerminalOutput::finish() { return std::exchange(carriage_return_, false) ? "\r" : ""; }

JobOutput::Printed JobOutput::print_piece() {
  std::string piece;
  try {
    piece = shim_.output(task_, position_);
    begun_ = true;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::conflict) throw;
  }
  if (piece.empty()) return Printed::nothing;
  const bool written = write_answer(converted(piece), fd_);
  position_ += piece.size();
  return written ? Printed::piece : Printed::unread;
}

std::string JobOutput::converted(std::string_view piece) {
  const auto plain = [this](std::string_view text) {
    return bytes_ == Bytes::of_a_terminal ? terminal_.take(text) : std::string(text);
  };
  if (!prefix_) return plain(piece);
  std::string out;
  std::uint64_t position = position_;
  while (!piece.empty()) {
    const std::size_t end = std::min(piece.find('\n'), piece.size() - 1) + 1;
    if (line_begins_) out += prefix_(position);
    line_begins_ = piece[end - 1] == '\n';
    out += plain(piece.substr(0, end));
    position += end;
    piece.remove_prefix(end);
  }
  return out;
}

void JobOutput::skip_to_last_lines(std::size_t count) {
  std::deque<std::uint64_t> begins;  // of the last lines
  const std::uint64_t start = position_;
  bool begins_line = true;
  try {
    for (std::string piece; !(piece = shim_.output(task_, position_)).empty(); position_ += piece.size()) {
      for (std::size_t i = 0; i < piece.size(); ++i) {
        if (begins_line) begins.push_back(position_ + i);
        if (begins.size() > count) begins.pop_front();
        begins_line = piece[i] == '\n';
      }
    }
    begun_ = true;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::conflict) throw;
    position_ = start;
  }
  if (!begins.empty()) position_ = begins.front();
}

void JobOutput::skip_all() {
  try {
    for (std::string piece; !(piece = shim_.output(task_, position_)).empty();) position_ += piece.size();
    begun_ = true;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::conflict) throw;
  }
}

bool JobOutput::print_all() {
  Printed printed = Printed::piece;
  while (printed == Printed::piece) printed = print_piece();
  return printed == Printed::nothing;
}

void JobOutput::finish() { write_answer(terminal_.finish(), fd_); }

}  // namespace dstack::shim::client
