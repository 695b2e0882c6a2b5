// Whatever a job writes to its terminal: its plain text is UTF-8 without control characters, in events of at most
// 32 KiB, and the same in whatever pieces it comes. The first two bytes say how large those are.

#include <cstdlib>
#include <string>
#include <string_view>

#include "common/text/utf8.h"
#include "runner/logs/plain_text.h"
#include "tests/fuzz/planted.h"

namespace {

using namespace dstack;

void check(bool holds) {
  if (!holds) std::abort();
}

std::string plain_text(std::string_view output, std::size_t piece) {
  runner::PlainText text([output](std::uint64_t position, std::size_t size) {
    return std::string(output.substr(static_cast<std::size_t>(position), size));
  });
  std::string joined;
  const auto collect = [&] {
    for (const runner::Piece& each : text.ready()) {
      std::string event = each.text;
      if (each.raw) {
        event = output.substr(static_cast<std::size_t>(each.raw->position), each.raw->size);
        runner::drop_unseen(event);
      }
      check(event.size() == each.text_size && !event.empty() && event.size() <= runner::kEventLimit);
      joined += event;
    }
    text.ready().clear();
  };
  std::size_t taken = 0;
  for (std::size_t given = 0; given < output.size();) {
    given = std::min(given + piece, output.size());
    taken += text.take(output.substr(taken, given - taken), taken, {});
    check(given - taken < 4096);
    collect();
  }
  text.finish();
  collect();
  return joined;
}

void check_clean(std::string_view text) {
  check(text.empty() || text.ends_with('\n'));
  while (!text.empty()) {
    const std::size_t printable = text::printable_prefix(text);
    check(printable == text.size() || text[printable] == '\n');
    text.remove_prefix(printable + 1);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t piece = 1 + (std::size_t{data[0]} << 4 | (data[1] & 15));
  const std::string_view output(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::string whole = plain_text(output, output.size() + 1);
  check_clean(whole);
  // Only what moves to the left and writes over it leaves two lines of so little.
  test::planted_bug(whole.size() == 6 && whole.find('\n') == 2 && output.size() > 12 && output.contains('\b'));
  check(plain_text(output, piece) == whole);
  check(plain_text(output, 1) == whole);
  return 0;
}
