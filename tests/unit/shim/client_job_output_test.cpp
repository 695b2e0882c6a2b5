#include "shim/client/job_output.h"

#include <catch2/catch_test_macros.hpp>

namespace dstack::shim::client {

namespace {

// As a terminal hands it on.
std::string through_terminal(std::string_view written) {
  std::string bytes;
  for (const char byte : written) bytes += byte == '\n' ? std::string("\r\n") : std::string(1, byte);
  return bytes;
}

}  // namespace

TEST_CASE("what a job wrote comes out of its terminal as it was, wherever it is cut") {
  std::string written = "a\nb\r\nc\r\r\n\rd\n\n\r";
  for (int byte = 0; byte < 256; ++byte) written += static_cast<char>(byte);
  written += '\r';
  const std::string seen = through_terminal(written);
  for (std::size_t size = 1; size <= seen.size(); ++size) {
    TerminalOutput output;
    std::string taken;
    for (std::size_t at = 0; at < seen.size(); at += size)
      taken += output.take(std::string_view(seen).substr(at, size));
    CHECK(taken + output.finish() == written);
  }
}

TEST_CASE("a carriage return at the end waits for what follows, and is not said twice") {
  TerminalOutput output;
  CHECK(output.take("50%\r") == "50%");
  CHECK(output.take("51%\r") == "\r51%");
  CHECK(output.finish() == "\r");
  CHECK(output.finish().empty());
}

}  // namespace dstack::shim::client
