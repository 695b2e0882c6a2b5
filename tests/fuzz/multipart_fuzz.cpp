// An uploaded form: refused with an Error or understood, the same in whatever pieces it arrives.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "common/error.h"
#include "runner/files/multipart.h"
#include "tests/fuzz/planted.h"

namespace {

using dstack::files::FormParser;

// Names and content, nothing for a form that is refused.
std::optional<std::string> parse(std::string_view boundary, std::string_view body, std::size_t piece) {
  std::string result;
  int parts = 0;
  try {
    FormParser parser(
        boundary,
        [&](const FormParser::Part& part) {
          ++parts;
          result += part.field + "\n" + part.file_name + "\n";
        },
        [&](std::string_view data) { result += data; });
    for (std::size_t at = 0; at < body.size(); at += piece) parser.feed(body.substr(at, piece));
    parser.finish();
    // Content that looks like the end of a part but is not at the begin of a line.
    dstack::test::planted_bug(parts > 0 && result.contains("--" + std::string(boundary)));
  } catch (const dstack::Error&) {
    return std::nullopt;
  }
  return result;
}

}  // namespace

// The first line is the content type.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(input.find('\n'), input.size());
  std::string boundary;
  try {
    boundary = dstack::files::multipart_boundary(std::string(input.substr(0, end)));
  } catch (const dstack::Error&) {
    return 0;
  }
  const std::string_view body = input.substr(std::min(end + 1, input.size()));
  const auto whole = parse(boundary, body, SIZE_MAX / 2);
  if (whole != parse(boundary, body, 1) || whole != parse(boundary, body, 7)) std::abort();
  return 0;
}
