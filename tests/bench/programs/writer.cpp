// Writes output as jobs do, as fast as it is taken:
//   bench_writer KIND BYTES FILE       KIND: plain, coloured, progress, bytes, utf8
//   bench_writer stamps COUNT FILE     COUNT lines with the time of their write, one each 0.5 ms
// FILE gets "START END BYTES": the times before the first write and after the last one.

#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>

#include "tests/bench/programs/clock.h"

namespace {

void write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
    if (count <= 0) fail("write");
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

// What one write has. A job that prints plain text through a pipe or a buffer writes blocks; a logger writes lines.
std::string piece_of(std::string_view kind) {
  if (kind == "plain") {
    std::string block;
    while (block.size() < 8192) block += "The quick brown fox jumps over the lazy dog 0123456789 0123456789\n";
    return block;
  }
  if (kind == "coloured")
    return "\x1b[32mINFO\x1b[0m \x1b[1mstep\x1b[0m 1234 loss \x1b[33m0.1234\x1b[0m of the quick brown fox\n";
  if (kind == "progress") return "\r 42%|\u2588\u2588\u2588\u2588          | 420/1000 [00:42<00:58, 10.00it/s]";
  if (kind == "bytes") return "x";
  if (kind == "utf8") return "Größe: 12 µm, 温度 21 °C, прогресс 42 %, naïve café 🚀 — fertig\n";
  std::cerr << "bench_writer: unknown kind " << kind << '\n';
  std::exit(2);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) return 2;
  const std::string_view kind = arguments[1];
  const std::uint64_t amount = std::strtoull(arguments[2], nullptr, 10);
  std::uint64_t written = 0;
  const std::int64_t start = now_ns();
  if (kind == "stamps") {
    auto next = std::chrono::steady_clock::now();
    for (std::uint64_t line = 0; line < amount; ++line) {
      std::this_thread::sleep_until(next += std::chrono::microseconds(500));
      write_all(std::to_string(now_ns()) + "\n");
    }
  } else {
    const std::string piece = piece_of(kind);
    for (; written + piece.size() <= amount; written += piece.size()) write_all(piece);
    write_all("\n");  // the last line ends, whatever the kind
    ++written;
  }
  std::ofstream(arguments[3]) << start << ' ' << now_ns() << ' ' << written << '\n';
  return 0;
}
