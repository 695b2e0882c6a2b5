#include "shim/docker/pull_failure.h"

#include <algorithm>

namespace dstack::shim::docker {

namespace {

// What no second attempt will change, but other credentials may.
constexpr std::array<std::string_view, 6> kNoEntry{
    "unauthorized", "authentication required",       "no basic auth credentials", "denied",
    "forbidden",    "incorrect username or password"};
// What no second attempt will change at all.
constexpr std::array<std::string_view, 10> kRefusals{"invalid reference",
                                                     "unsupported",
                                                     "no matching manifest",
                                                     "no space left",
                                                     "x509:",
                                                     "HTTP response to HTTPS client",
                                                     "failed to register layer",
                                                     "failed to extract layer",
                                                     "cannot overwrite digest",
                                                     "invalid tag"};
constexpr std::array<std::string_view, 5> kAbsences{"manifest unknown", "name unknown", "not found", "does not exist",
                                                    "repository name not known"};

bool contains_any(std::string_view text, const auto& words) {
  return std::ranges::any_of(words, [text](std::string_view word) { return text.contains(word); });
}

}  // namespace

ErrorKind pull_error_kind(std::string_view message) {
  // "toomanyrequests: You have reached your unauthenticated pull rate limit" has words of the others.
  if (message.contains("toomanyrequests") || message.contains("Too Many Requests")) return ErrorKind::unavailable;
  if (contains_any(message, kAbsences)) return ErrorKind::not_found;
  if (contains_any(message, kNoEntry) || contains_any(message, kRefusals)) return ErrorKind::invalid;
  return ErrorKind::unavailable;
}

PullFailure pull_failure(ErrorKind kind, std::string_view message) {
  if (message.contains("no space left")) return PullFailure::no_space;
  if (kind == ErrorKind::not_found) return PullFailure::not_found;
  if (kind == ErrorKind::unavailable || kind == ErrorKind::timed_out) return PullFailure::unavailable;
  if (contains_any(message, kNoEntry)) return PullFailure::refused;
  return PullFailure::other;
}

std::string_view name_of(PullFailure failure) {
  switch (failure) {
    case PullFailure::not_found: return "not_found";
    case PullFailure::refused: return "refused";
    case PullFailure::no_space: return "no_space";
    case PullFailure::stalled: return "stalled";
    case PullFailure::unavailable: return "unavailable";
    case PullFailure::other: break;
  }
  return "other";
}

}  // namespace dstack::shim::docker
