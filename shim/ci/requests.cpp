#include "shim/ci/requests.h"

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/json/member.h"
#include "common/text/number.h"
#include "common/version.h"

namespace dstack::shim::ci {

using nlohmann::json;
using namespace std::chrono_literals;

namespace {

constexpr std::chrono::milliseconds kCiConnectLimit = 10s;
constexpr std::chrono::milliseconds kCiAnswerLimit = 30s;
constexpr std::chrono::seconds kLongestPause = 60s;
// Without a word about when to come back.
constexpr std::chrono::seconds kUntoldPause = 60s;
// GitLab and GitHub count by the hour; more is a mistake in a header.
constexpr std::chrono::seconds kLongestTold = 2h;

std::optional<std::int64_t> number_in(const http::ClientResponse& answer, std::string_view header) {
  const auto found = answer.headers.find(header);
  return found == answer.headers.end() ? std::nullopt : text::parse_number<std::int64_t>(found->second);
}

// What an error says, in the forms that CI systems use.
std::string message_of(const std::string& body) {
  const json parsed = json::parse(body, nullptr, false);
  if (!parsed.is_object()) return body;
  for (const char* name : {"message", "error_description", "error"}) {
    const json& found = dstack::json::member(parsed, name);
    if (found.is_string()) return found.get<std::string>();
    if (!found.is_null()) return dstack::json::dump(found);
  }
  return body;
}

std::string without(std::string text, const std::string& secret) {
  if (secret.empty()) return text;
  for (std::size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at))
    text.replace(at, secret.size(), "[hidden]");
  return text;
}

}  // namespace

std::chrono::seconds GrowingPause::next() {
  const std::chrono::seconds pause = next_;
  next_ = std::min(next_ * 2, kLongestPause);
  return pause;
}

std::optional<std::chrono::seconds> limit_pause(const http::ClientResponse& answer, os::WallTime now) {
  const auto retry_after = number_in(answer, "retry-after");
  auto remaining = number_in(answer, "x-ratelimit-remaining");
  if (!remaining) remaining = number_in(answer, "ratelimit-remaining");
  const bool limited = answer.status == 429 || (answer.status == 403 && (retry_after || remaining == 0));
  if (!limited) return std::nullopt;
  if (retry_after) return std::clamp(std::chrono::seconds(*retry_after), 1s, kLongestTold);
  auto reset = number_in(answer, "x-ratelimit-reset");
  if (!reset) reset = number_in(answer, "ratelimit-reset");
  if (!reset) return kUntoldPause;
  const auto until = os::WallTime(std::chrono::seconds(*reset)) - now;
  return std::clamp(std::chrono::ceil<std::chrono::seconds>(until), 1s, kLongestTold);
}

Requests::Requests(std::string base_url, std::string credential, Secret token, os::Clock& clock)
    : base_url_(std::move(base_url)),
      credential_(std::move(credential)),
      token_(std::move(token)),
      clock_(clock),
      client_({.base_url = base_url_}, clock) {}

http::ClientResponse Requests::ask(const std::string& method, const std::string& path, const std::string& body,
                                   const Patience& patience, Lost lost) {
  http::ClientRequest request{
      .method = method,
      .path = path,
      .body = body,
      .headers = {"User-Agent: dstack-shim/" + std::string(version()), "Accept: application/json"},
      .connect_limit = kCiConnectLimit,
      .total_limit = kCiAnswerLimit};
  if (!credential_.empty()) request.headers.push_back(credential_);
  os::SteadyTime patience_end = clock_.now() + patience.network;
  GrowingPause growing;
  while (true) {
    std::string trouble;
    std::chrono::seconds pause{0};
    try {
      http::ClientResponse answer = client_.send(request, patience.stop);
      const auto told = limit_pause(answer, clock_.wall());
      if (!told && answer.status < 500) return answer;
      trouble = std::format("{} {} at {}: {}", method, path.substr(0, path.find('?')), base_url_, quote(answer));
      pause = told ? *told : growing.next();
      if (told) {
        patience_end += *told;  // which is not the network's fault
      } else if (lost == Lost::report) {
        throw Error(ErrorKind::unavailable, trouble);
      }
    } catch (const std::exception& error) {
      if (error_kind(error) != ErrorKind::unavailable && error_kind(error) != ErrorKind::timed_out) throw;
      if (lost == Lost::report) throw;
      trouble = error.what();
      pause = growing.next();
    }
    if (clock_.now() + pause > patience_end) throw Error(ErrorKind::unavailable, trouble);
    if (!os::pause(clock_, pause, patience.stop)) throw Error(ErrorKind::cancelled, trouble);
  }
}

std::string Requests::quote(const http::ClientResponse& answer) const {
  const std::string message = without(message_of(answer.body), token_.reveal());
  if (message.empty()) return std::format("HTTP {}", answer.status);
  return std::format("HTTP {}: {}", answer.status, printable(message, 300));
}

}  // namespace dstack::shim::ci
