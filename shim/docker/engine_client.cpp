#include "shim/docker/engine_client.h"

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/error.h"
#include "common/json/member.h"
#include "common/text/number.h"
#include "common/text/split.h"
#include "shim/docker/engine_answers.h"
#include "shim/docker/engine_limits.h"

namespace dstack::shim::docker {

namespace {

using nlohmann::json;

struct Version {
  int major = 0;
  int minor = 0;

  auto operator<=>(const Version&) const = default;
};

constexpr Version kOldest{1, 41};  // Engine 20.10
constexpr Version kNewest{1, 56};  // seen to work up to here

std::optional<Version> parse_version(std::string_view text) {
  const auto parts = text::split(text, '.');
  if (parts.size() != 2) return std::nullopt;
  const auto major = text::parse_number<int>(parts[0]);
  const auto minor = text::parse_number<int>(parts[1]);
  if (!major || !minor) return std::nullopt;
  return Version{*major, *minor};
}

ErrorKind kind_of(int status) {
  if (status == 404) return ErrorKind::not_found;
  if (status == 409) return ErrorKind::conflict;
  if (status == 429) return ErrorKind::unavailable;
  if (status >= 400 && status < 500) return ErrorKind::invalid;
  return ErrorKind::internal;
}

}  // namespace

EngineClient::EngineClient(EngineAddress address, os::Clock& clock)
    : address_(std::move(address)), clock_(clock), client_(address_.endpoint, clock) {}

void EngineClient::connect(const Call& call) {
  const std::string attempt = "reach Docker";
  const http::ClientResponse response = [&] {
    try {
      return client_.send({.path = "/_ping", .total_limit = call.limit.value_or(kQuickCall)}, call.stop);
    } catch (const Error& error) {
      throw Error(error.kind(), std::format("{}: {}", attempt, error.what()));
    }
  }();
  if (response.status != 200) {
    throw Error(ErrorKind::unavailable, std::format("{} at {}: /_ping answered {}: {}", attempt, address_.name,
                                                    response.status, engine_message(response.body)));
  }
  Agreement agreement{.version = address_.api_version, .podman = response.headers.contains("libpod-api-version")};
  if (agreement.version.empty()) {
    const auto header = response.headers.find("api-version");
    const std::optional<Version> newest =
        header == response.headers.end() ? std::nullopt : parse_version(header->second);
    if (!newest) {
      throw Error(ErrorKind::unavailable,
                  std::format("{} at {}: it does not answer as a Docker engine", attempt, address_.name));
    }
    if (*newest < kOldest) {
      throw Error(ErrorKind::unavailable,
                  std::format("{} at {}: its API version is {}, at least {}.{} is needed (Docker Engine 20.10)",
                              attempt, address_.name, header->second, kOldest.major, kOldest.minor));
    }
    if (*newest > kNewest) refuse_if_too_new(attempt, call);
    const Version agreed = std::min(*newest, kNewest);
    agreement.version = std::format("{}.{}", agreed.major, agreed.minor);
  }
  const os::Lock lock(mutex_);
  agreement_ = std::move(agreement);
  info_.reset();
}

bool EngineClient::takes_connections(const Call& call) {
  // One of its own has no connection yet.
  http::Client fresh(address_.endpoint, clock_);
  try {
    fresh.send({.path = "/_ping", .total_limit = call.limit.value_or(kQuickCall)}, call.stop);
    return true;
  } catch (const std::exception& error) {
    if (error_kind(error) != ErrorKind::unavailable) throw;
    return false;
  }
}

void EngineClient::refuse_if_too_new(const std::string& attempt, const Call& call) {
  // Without a version in its path, an engine answers this to every client.
  const http::ClientResponse response =
      client_.send({.path = "/version", .total_limit = call.limit.value_or(kQuickCall)}, call.stop);
  const json answer = json::parse(response.body, nullptr, false);
  if (response.status != 200 || !answer.is_object() || !answer.contains("MinAPIVersion")) return;
  const json& minimum = answer["MinAPIVersion"];
  const std::optional<Version> oldest = minimum.is_string() ? parse_version(minimum.get<std::string>()) : std::nullopt;
  if (!oldest || *oldest <= kNewest) return;
  throw Error(ErrorKind::unavailable,
              std::format("{} at {}: it speaks API version {}.{} and newer, this dstack-shim up to {}.{}: update "
                          "dstack-shim",
                          attempt, address_.name, oldest->major, oldest->minor, kNewest.major, kNewest.minor));
}

EngineClient::Agreement EngineClient::agreement(const Call& call) {
  {
    const os::Lock lock(mutex_);
    if (agreement_) return *agreement_;
  }
  // Two threads may do this at once; they find the same.
  connect({.stop = call.stop, .limit = call.limit});
  const os::Lock lock(mutex_);
  return agreement_.value_or(Agreement{});
}

bool EngineClient::is_podman(const Call& call) { return agreement(call).podman; }

http::ClientResponse EngineClient::send(const std::string& attempt, http::ClientRequest request, const Call& call,
                                        std::chrono::milliseconds own_limit, std::initializer_list<int> accepted,
                                        const Taker& take) {
  request.path = std::format("/v{}{}", agreement(call).version, request.path);
  request.total_limit = call.limit.value_or(own_limit);
  http::ClientResponse response;
  try {
    response = take ? client_.stream(request, take, call.stop) : client_.send(request, call.stop);
  } catch (const Error& error) {
    throw Error(error.kind(), std::format("{}: {}", attempt, error.what()));
  }
  const bool good = response.status >= 200 && response.status < 300;
  if (!good && !std::ranges::contains(accepted, response.status)) {
    throw Error(kind_of(response.status), std::format("{}: {}", attempt, engine_message(response.body)));
  }
  return response;
}

std::unique_ptr<http::Upgraded> EngineClient::open_stream(const std::string& attempt, http::ClientRequest request,
                                                          const Call& call) {
  request.path = std::format("/v{}{}", agreement(call).version, request.path);
  request.total_limit = call.limit.value_or(kQuickCall);
  http::UpgradeAnswer answer = [&] {
    try {
      return client_.upgrade(request, call.stop);
    } catch (const Error& error) {
      throw Error(error.kind(), std::format("{}: {}", attempt, error.what()));
    }
  }();
  if (answer.stream) return std::move(answer.stream);
  throw Error(kind_of(answer.response.status), std::format("{}: {}", attempt, engine_message(answer.response.body)));
}

EngineInfo EngineClient::info(const Call& call) {
  const std::string attempt = "ask Docker for its settings";
  EngineInfo info = parse_info(parse_answer(attempt, send(attempt, {.path = "/info"}, call, kQuickCall).body));
  const Agreement agreed = agreement(call);
  info.api_version = agreed.version;
  info.podman = agreed.podman;
  return info;
}

EngineInfo EngineClient::known_info(const Call& call) {
  {
    const os::Lock lock(mutex_);
    if (info_) return *info_;
  }
  const EngineInfo known = info(call);
  const os::Lock lock(mutex_);
  info_ = known;
  return known;
}

}  // namespace dstack::shim::docker
