#include "shim/docker/pull_failure.h"

#include <algorithm>
#include <optional>
#include <string>

#include "common/text/letter_case.h"
#include "common/text/number.h"

namespace dstack::shim::docker {

namespace {

// All in lower case: engines and registries differ in that too.

// Something else was removed from the engine's store while it pulled ("docker image prune"): nothing of the registry's.
constexpr std::array<std::string_view, 5> kRemovedMeanwhile{"lease does not exist", "content digest",
                                                            "failed to get reader from content store",
                                                            "layer does not exist", "parent snapshot"};
constexpr std::array<std::string_view, 3> kTooMany{"toomanyrequests", "too many requests", "rate limit"};
// What no second attempt will change, but other credentials may.
constexpr std::array<std::string_view, 12> kRefusals{
    "unauthorized", "unauthenticated", "authentication required", "authentication failed", "authorization failed",
    "insufficient_scope", "no basic auth credentials", "denied", "forbidden", "incorrect username or password",
    "invalid username/password",
    // A page of HTML, such as a proxy's login.
    "looking for beginning of value"};
constexpr std::array<std::string_view, 9> kAbsences{
    "manifest unknown", "manifest_unknown", "name unknown",
    "name_unknown",     "unknown blob",     "blob unknown",
    "not found",        "does not exist",   "repository name not known"};
// What no second attempt will change at all.
constexpr std::array<std::string_view, 13> kFinal{"invalid reference",
                                                  "unsupported",
                                                  "no matching manifest",
                                                  "no match for platform",
                                                  "cannot be used on this platform",
                                                  "does not match the specified platform",
                                                  "x509:",
                                                  "http response to https client",
                                                  "failed to register layer",
                                                  "failed to extract layer",
                                                  "missing signature key",
                                                  "cannot overwrite digest",
                                                  "invalid tag"};

bool contains_any(std::string_view text, const auto& phrases) {
  return std::ranges::any_of(phrases, [text](std::string_view phrase) { return text.contains(phrase); });
}

// As Go's net/http names them: "401 Unauthorized".
std::string_view reason_phrase(int status) {
  switch (status) {
    case 400: return "bad request";
    case 401: return "unauthorized";
    case 402: return "payment required";
    case 403: return "forbidden";
    case 404: return "not found";
    case 405: return "method not allowed";
    case 406: return "not acceptable";
    case 407: return "proxy authentication required";
    case 408: return "request timeout";
    case 410: return "gone";
    case 415: return "unsupported media type";
    case 416: return "requested range not satisfiable";
    case 425: return "too early";
    case 429: return "too many requests";
    case 451: return "unavailable for legal reasons";
    case 500: return "internal server error";
    case 501: return "not implemented";
    case 502: return "bad gateway";
    case 503: return "service unavailable";
    case 504: return "gateway timeout";
    default: return {};
  }
}

// "unexpected status from HEAD request to …: 401 Unauthorized", "error parsing HTTP 403 response body", "status code
// 404", "StatusCode: 404", "invalid status code from registry 403 (Forbidden)". The first one: what follows may be the
// registry's own page.
std::optional<int> registry_status(std::string_view text) {
  constexpr std::size_t kLength = 3;
  const auto is_word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  for (std::size_t at = text.find_first_of("45"); at != std::string_view::npos; at = text.find_first_of("45", at + 1)) {
    const std::string_view before = text.substr(0, at);
    const std::string_view after = text.substr(std::min(at + kLength, text.size()));
    const auto status = text::parse_number<int>(text.substr(at, kLength));
    if (!status || *status < 400 || (!before.empty() && (is_word(before.back()) || before.back() == '.')) ||
        (!after.empty() && is_word(after.front()))) {
      continue;
    }
    const std::string_view phrase = reason_phrase(*status);
    if (!phrase.empty() && after.starts_with(' ') && after.substr(1).starts_with(phrase)) return status;
    constexpr std::array<std::string_view, 5> kLeads{"http ", "status ", "code ", "status: ", "registry "};
    if (std::ranges::any_of(kLeads, [before](std::string_view lead) { return before.ends_with(lead); }) ||
        before.ends_with("code: ") || before.ends_with("code=") || before.ends_with("status=")) {
      return status;
    }
  }
  return std::nullopt;
}

PullFailure failure_of_status(int status) {
  switch (status) {
    case 401:
    case 403:
    case 407: return PullFailure::refused;
    case 404:
    case 410: return PullFailure::not_found;
    case 408:
    case 425:
    case 429: return PullFailure::unavailable;
    default: return status >= 500 ? PullFailure::unavailable : PullFailure::other;
  }
}

// An image may be called "team/denied", and that must not decide.
std::string without_name(std::string text, const ImageReference& image) {
  const std::string name = text::lower_case(image.repository);
  const std::size_t slash = name.find('/');
  if (slash == std::string::npos) return text;
  // Addresses have the registry apart.
  for (const std::string& part : {name, name.substr(slash)}) {
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos;) text.erase(at, part.size());
  }
  return text;
}

}  // namespace

PullFailure pull_failure(const ImageReference& image, ErrorKind answered, std::string_view message) {
  if (answered == ErrorKind::unavailable || answered == ErrorKind::timed_out) return PullFailure::unavailable;
  const std::string text = without_name(text::lower_case(message), image);
  if (text.contains("no space left")) return PullFailure::no_space;
  if (contains_any(text, kRemovedMeanwhile)) return PullFailure::unavailable;
  // "toomanyrequests: You have reached your unauthenticated pull rate limit" has words of the others.
  if (contains_any(text, kTooMany)) return PullFailure::unavailable;
  if (const auto status = registry_status(text)) return failure_of_status(*status);
  if (contains_any(text, kAbsences)) return PullFailure::not_found;
  if (contains_any(text, kRefusals)) return PullFailure::refused;
  if (contains_any(text, kFinal)) return PullFailure::other;
  if (answered == ErrorKind::not_found) return PullFailure::not_found;
  return answered == ErrorKind::internal ? PullFailure::unavailable : PullFailure::other;
}

ErrorKind error_kind(PullFailure failure) {
  switch (failure) {
    case PullFailure::not_found: return ErrorKind::not_found;
    case PullFailure::unavailable: return ErrorKind::unavailable;
    case PullFailure::stalled: return ErrorKind::timed_out;
    case PullFailure::refused:
    case PullFailure::no_space:
    case PullFailure::other: break;
  }
  return ErrorKind::invalid;
}

bool may_pass(ErrorKind kind) { return kind == ErrorKind::unavailable || kind == ErrorKind::timed_out; }

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
