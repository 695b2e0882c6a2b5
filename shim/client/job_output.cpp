#include "shim/client/job_output.h"

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
  position_ += piece.size();
  return write_answer(terminal_.take(piece)) ? Printed::piece : Printed::unheard;
}

bool JobOutput::print_all() {
  Printed printed = Printed::piece;
  while (printed == Printed::piece) printed = print_piece();
  return printed == Printed::nothing;
}

void JobOutput::finish() { write_answer(terminal_.finish()); }

}  // namespace dstack::shim::client
