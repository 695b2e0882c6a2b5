#include "shim/client/retry.h"

#include <format>

#include "common/error.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

namespace {

constexpr std::chrono::seconds kPause{1};

bool may_pass(ErrorKind kind) {
  return kind == ErrorKind::unavailable || kind == ErrorKind::timed_out || kind == ErrorKind::internal ||
         kind == ErrorKind::exhausted;
}

}  // namespace

void retry(std::string_view what, const std::function<void()>& attempt, const Retry& settings, os::Clock& clock) {
  const os::SteadyTime deadline = clock.now() + settings.limit;
  bool noted = false;
  while (true) {
    try {
      return attempt();
    } catch (const std::exception& error) {
      const ErrorKind kind = error_kind(error);
      if (kind == ErrorKind::not_found) return;
      if (!may_pass(kind)) throw;
      if (!noted) {
        settings.note(
            std::format("{}: {}; retrying for up to {} s", what, legible(error.what()), settings.limit.count()));
      }
      noted = true;
      if (clock.now() < deadline && settings.pause(kPause)) continue;
      throw Error(kind, std::format("{}: {}; dstack-shim may still be working on it: look with \"dstack-shim ps\", and "
                                    "remove it with \"dstack-shim rm --force\"",
                                    what, error.what()));
    }
  }
}

}  // namespace dstack::shim::client
