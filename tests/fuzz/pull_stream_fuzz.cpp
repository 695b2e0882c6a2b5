// An engine's stream of progress: it means the same in whatever pieces it comes. The first byte says how large they
// are.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "shim/docker/pull_progress.h"
#include "tests/fuzz/planted.h"

namespace {

using dstack::shim::docker::PullStream;

PullStream read(std::string_view text, std::size_t piece) {
  PullStream stream;
  for (std::size_t i = 0; i < text.size(); i += piece) stream.take(text.substr(i, piece));
  return stream;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const PullStream whole = read(text, text.size() + 1);
  const PullStream parts = read(text, data[0] + std::size_t{1});
  const bool same = whole.progress() == parts.progress() && whole.completed() == parts.completed() &&
                    whole.error() == parts.error() &&
                    whole.may_be_completed_by_podman() == parts.may_be_completed_by_podman();
  if (!same) std::abort();
  dstack::test::planted_bug(whole.completed() && !whole.error().empty());
  return 0;
}
