// A held runner and its client: the requests, and the frames that answer them, which mean the same in whatever pieces
// they come. The first byte says which, of frames also how large the pieces are.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "common/error.h"
#include "runner/exec/frames.h"
#include "runner/exec/request.h"
#include "shim/client/exec_frames.h"
#include "tests/fuzz/planted.h"

namespace {

using namespace dstack;

struct Heard {
  std::string output;
  std::string errors;
  std::optional<int> status;
  bool refused = false;

  friend bool operator==(const Heard&, const Heard&) = default;
};

Heard hear(std::string_view bytes, std::size_t piece) {
  Heard heard;
  shim::client::ExecFrames frames;
  try {
    for (std::size_t i = 0; i < bytes.size(); i += piece) {
      frames.read(bytes.substr(i, piece), [&heard](shim::client::Stream stream, std::string_view text) {
        (stream == shim::client::Stream::output ? heard.output : heard.errors) += text;
      });
    }
    if (frames.end()) heard.status = frames.end()->status();
  } catch (const Error&) {
    heard.refused = true;
  }
  return heard;
}

// What a supervisor sends, its last frame excepted, is passed on whatever the pieces.
std::string passed_on(std::string_view bytes, std::size_t piece) {
  runner::exec::FrameReader reader;
  std::string result;
  for (std::size_t i = 0; i < bytes.size(); i += piece) {
    const std::string_view part = bytes.substr(i, piece);
    result += part.substr(0, reader.before_end(part));
  }
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] < 64) {
    const std::size_t piece = 1 + std::size_t{data[0]};
    const Heard whole = hear(text, text.size() + 1);
    test::planted_bug(whole.output.size() > 3 && whole.errors.size() > 2 && whole.status == 137);
    if (hear(text, piece) != whole) std::abort();
    if (passed_on(text, piece) != passed_on(text, text.size() + 1)) std::abort();
    return 0;
  }
  try {
    if (data[0] == 's') {
      runner::exec::read_stop(std::string(text));
    } else {
      static const os::UserDatabase users("/nonexistent", "/nonexistent");
      const auto spec = runner::exec::read_exec(std::string(text), {}, users);
      if (runner::exec::spec_of(runner::exec::to_json(spec)).arguments != spec.arguments) std::abort();
    }
  } catch (const Error&) {
  } catch (const runner::exec::NoSuchProgram&) {
  }
  return 0;
}
