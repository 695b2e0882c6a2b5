#include "shim/docker/engine_client.h"

#include <ctime>

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/json/member.h"
#include "common/text/base64.h"
#include "common/text/number.h"
#include "common/text/split.h"
#include "shim/docker/engine_answers.h"
#include "shim/docker/stream_frames.h"

namespace dstack::shim::docker {

namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr std::chrono::milliseconds kQuick = 30s;
constexpr std::chrono::milliseconds kUnbounded = 0ms;

constexpr std::size_t kLineLimit = std::size_t{1} << 20;    // of the event stream
constexpr std::size_t kOutputLimit = std::size_t{1} << 20;  // bytes of a container's last lines
constexpr std::size_t kOutputLineLimit = 4096;
constexpr std::size_t kWholeOutputLimit = std::size_t{16} << 20;

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

std::string container_path(std::string_view id, std::string_view rest) {
  return std::format("/containers/{}{}", http::encode_url_component(id), rest);
}

std::string label_filter(const std::string& label) {
  return http::encode_url_component(dstack::json::dump(json{{"label", json::array({label})}}));
}

ErrorKind kind_of(int status) {
  if (status == 404) return ErrorKind::not_found;
  if (status == 409) return ErrorKind::conflict;
  if (status == 429) return ErrorKind::unavailable;
  if (status >= 400 && status < 500) return ErrorKind::invalid;
  return ErrorKind::internal;
}

// "Mon, 02 Jan 2006 15:04:05 GMT"
std::optional<std::chrono::sys_seconds> parse_date(const std::string& text) {
  std::tm parts{};
  if (::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts) == nullptr) return std::nullopt;
  return std::chrono::sys_seconds(std::chrono::seconds(::timegm(&parts)));
}

std::vector<std::string> split_lines(std::string_view text, std::size_t count) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.emplace_back(line.substr(0, kOutputLineLimit));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  if (lines.size() > count) lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
  return lines;
}

}  // namespace

EngineClient::EngineClient(EngineAddress address, os::Clock& clock)
    : address_(std::move(address)), clock_(clock), client_(address_.endpoint, clock) {}

void EngineClient::connect(const Call& call) {
  const std::string attempt = "reach Docker";
  const http::ClientResponse response = [&] {
    try {
      return client_.send({.path = "/_ping", .total_limit = call.limit.value_or(kQuick)}, call.stop);
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
    fresh.send({.path = "/_ping", .total_limit = call.limit.value_or(kQuick)}, call.stop);
    return true;
  } catch (const std::exception& error) {
    if (error_kind(error) != ErrorKind::unavailable) throw;
    return false;
  }
}

void EngineClient::refuse_if_too_new(const std::string& attempt, const Call& call) {
  // Without a version in its path, an engine answers this to every client.
  const http::ClientResponse response =
      client_.send({.path = "/version", .total_limit = call.limit.value_or(kQuick)}, call.stop);
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
  return *agreement_;
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
  request.total_limit = call.limit.value_or(kQuick);
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
  EngineInfo info = parse_info(parse_answer(attempt, send(attempt, {.path = "/info"}, call, kQuick).body));
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

bool EngineClient::image_present(const ImageReference& image, const Call& call) {
  // A name that was parsed has no byte that means something in a URL.
  return send("look for image " + image.name(), {.path = std::format("/images/{}/json", image.name())}, call, kQuick,
              {404})
             .status == 200;
}

void EngineClient::pull(const ImageReference& image, const Credentials& credentials,
                        const std::function<void(std::string_view)>& take, const Call& call) {
  http::ClientRequest request{.method = "POST"};
  // A digest goes where the tag would, and wins over it.
  request.path = std::format("/images/create?fromImage={}&tag={}", http::encode_url_component(image.repository),
                             http::encode_url_component(image.digest.empty() ? image.tag : image.digest));
  if (!credentials.empty()) {
    // containerd's image store sends credentials to the registry that they name, and to no other.
    json auth{{"username", credentials.username},
              {"password", credentials.password.reveal()},
              {"serveraddress", image.server_address()}};
    if (!credentials.identity_token.empty()) auth["identitytoken"] = credentials.identity_token.reveal();
    if (!credentials.registry_token.empty()) auth["registrytoken"] = credentials.registry_token.reveal();
    request.headers.push_back("X-Registry-Auth: " + text::base64_url(dstack::json::dump(auth)));
  }
  send("pull " + image.name(), std::move(request), call, kUnbounded, {}, [&take](std::string_view piece) {
    take(piece);
    return true;
  });
}

std::string EngineClient::create(const std::string& name, const json& body, const Call& call) {
  const std::string attempt = "create container " + name;
  http::ClientRequest request{.method = "POST", .path = "/containers/create?name=" + http::encode_url_component(name)};
  request.body = dstack::json::dump(body);
  const std::string body_of_answer = [&] {
    try {
      return send(attempt, std::move(request), call, 2min).body;
    } catch (const Error& error) {
      // Podman says so with a 500.
      if (error.kind() != ErrorKind::internal || !std::string_view(error.what()).contains("already in use")) throw;
      throw Error(ErrorKind::conflict, error.what());
    }
  }();
  const json answer = parse_answer(attempt, body_of_answer);
  std::string id = dstack::json::text_member(answer, "Id");
  if (id.empty()) {
    throw Error(ErrorKind::unavailable, attempt + ": the answer has no container id");
  }
  return id;
}

void EngineClient::start(const std::string& id, const Call& call) {
  send("start container " + id, {.method = "POST", .path = container_path(id, "/start")}, call, 5min, {304});
}

void EngineClient::stop(const std::string& id, std::chrono::seconds grace, const Call& call) {
  send("stop container " + id, {.method = "POST", .path = container_path(id, std::format("/stop?t={}", grace.count()))},
       call, grace + kQuick, {304});
}

void EngineClient::kill(const std::string& id, const Call& call) {
  try {
    send("kill container " + id, {.method = "POST", .path = container_path(id, "/kill")}, call, kQuick);
  } catch (const Error& error) {
    // That is how the engine says that it does not run, among other things; Podman takes a 500 for it.
    if (error.kind() != ErrorKind::conflict && error.kind() != ErrorKind::internal) throw;
    const std::optional<ContainerDetails> container = inspect(id, call);
    if (container && !has_ended(container->status) && container->status != ContainerStatus::created) throw;
  }
}

void EngineClient::remove(const std::string& id, const Call& call) {
  const std::string attempt = "remove container " + id;
  const http::ClientResponse response =
      send(attempt, {.method = "DELETE", .path = container_path(id, "?force=1&v=1")}, call, 2min, {404, 409});
  if (response.status != 409) return;
  // "removal … is already in progress": done when that one is.
  if (!engine_message(response.body).contains("already in progress")) {
    throw Error(ErrorKind::conflict, std::format("{}: {}", attempt, engine_message(response.body)));
  }
  send(attempt, {.method = "POST", .path = container_path(id, "/wait?condition=removed")}, call, 2min, {404});
}

std::optional<ContainerDetails> EngineClient::inspect(const std::string& id, const Call& call) {
  const std::string attempt = "look at container " + id;
  const http::ClientResponse response = send(attempt, {.path = container_path(id, "/json")}, call, kQuick, {404});
  if (response.status == 404) return std::nullopt;
  ContainerDetails details = parse_details(parse_answer(attempt, response.body));
  if (details.id.empty()) throw Error(ErrorKind::unavailable, attempt + ": the answer has no container id");
  return details;
}

std::optional<ContainerUsage> EngineClient::usage(const std::string& id, const Call& call) {
  const std::string attempt = "ask for the usage of container " + id;
  // One sample: for two the engine would wait a second.
  const http::ClientResponse response =
      send(attempt, {.path = container_path(id, "/stats?stream=0&one-shot=1")}, call, kQuick, {404, 409});
  if (response.status != 200) return std::nullopt;
  return parse_usage(parse_answer(attempt, response.body));
}

std::vector<ContainerSummary> EngineClient::list(const std::string& label, const Call& call,
                                                 std::chrono::sys_seconds* at) {
  const std::string attempt = "list the containers";
  const os::SteadyTime begin = clock_.now();
  const http::ClientResponse response =
      send(attempt, {.path = "/containers/json?all=1&filters=" + label_filter(label)}, call, kQuick);
  const json answer = parse_answer(attempt, response.body);
  if (!answer.is_array()) throw Error(ErrorKind::unavailable, attempt + ": the answer is not a list");
  if (at != nullptr) {
    const auto date = response.headers.find("date");
    const auto told = date == response.headers.end() ? std::nullopt : parse_date(date->second);
    // The date is that of the end of the engine's work, in whole seconds.
    const auto took = std::chrono::ceil<std::chrono::seconds>(clock_.now() - begin);
    *at = told.value_or(std::chrono::floor<std::chrono::seconds>(clock_.wall())) - took - 1s;
  }
  return parse_list(answer);
}

std::vector<std::string> EngineClient::last_lines(const std::string& id, int count, const Call& call) {
  const std::string attempt = "read the output of container " + id;
  const std::optional<ContainerDetails> container = inspect(id, call);
  if (!container) throw Error(ErrorKind::not_found, attempt + ": no such container");
  std::string raw;
  const std::string query = std::format("/logs?stdout=1&stderr=1&tail={}", count);
  send(attempt, {.path = container_path(id, query)}, call, kQuick, {}, [&raw](std::string_view piece) {
    raw += piece;
    return raw.size() < kOutputLimit;
  });
  return split_lines(join_output(raw, container->tty), static_cast<std::size_t>(std::max(count, 0)));
}

int EngineClient::wait(const std::string& id, const Call& call) {
  const std::string attempt = "wait for container " + id;
  const json answer = parse_answer(
      attempt, send(attempt, {.method = "POST", .path = container_path(id, "/wait")}, call, kUnbounded).body);
  if (!answer.is_object() || !answer.contains("StatusCode") || !answer["StatusCode"].is_number_integer()) {
    throw Error(ErrorKind::unavailable, attempt + ": the answer has no exit code");
  }
  return answer["StatusCode"].get<int>();
}

ContainerOutput EngineClient::output(const std::string& id, const Call& call) {
  std::string raw;
  send("read the output of container " + id, {.path = container_path(id, "/logs?stdout=1&stderr=1")}, call, kQuick, {},
       [&raw](std::string_view piece) {
         raw += piece;
         return raw.size() < kWholeOutputLimit;
       });
  return split_output(raw);
}

void EngineClient::read_output(const std::string& id, const std::function<bool(std::string_view)>& take,
                               const Call& call) {
  const std::string attempt = "read the output of container " + id;
  const std::optional<ContainerDetails> container = inspect(id, call);
  if (!container) throw Error(ErrorKind::not_found, attempt + ": no such container");
  StreamFrames frames;
  bool more = true;
  send(attempt, {.path = container_path(id, "/logs?stdout=1&stderr=1")}, call, kQuick, {}, [&](std::string_view piece) {
    if (container->tty) return take(piece);
    frames.add(piece, [&](StreamFrames::Stream, std::string_view part) { more = more && take(part); });
    return more;
  });
}

std::optional<ImageDetails> EngineClient::inspect_image(const std::string& id, const Call& call) {
  const std::string attempt = "look at image " + id;
  const http::ClientResponse response =
      send(attempt, {.path = std::format("/images/{}/json", id)}, call, kQuick, {404});
  if (response.status == 404) return std::nullopt;
  return parse_image(parse_answer(attempt, response.body));
}

void EngineClient::follow_ends(const std::string& label, std::chrono::sys_seconds since,
                               const std::function<void(const ContainerEvent&)>& take, const Call& call) {
  // No filter by event: engines name them differently.
  const json filters{{"type", json::array({"container"})}, {"label", json::array({label})}};
  const std::string path = std::format("/events?since={}&filters={}", since.time_since_epoch().count(),
                                       http::encode_url_component(dstack::json::dump(filters)));
  std::string rest;
  send("follow the events", {.path = path}, call, kUnbounded, {}, [&](std::string_view piece) {
    rest += piece;
    std::size_t start = 0;
    for (std::size_t end = 0; (end = rest.find('\n', start)) != std::string::npos; start = end + 1) {
      if (const auto event = parse_event(std::string_view(rest).substr(start, end - start))) take(*event);
    }
    rest.erase(0, start);
    if (rest.size() > kLineLimit)
      throw Error(ErrorKind::unavailable, "follow the events: the engine's answer is not valid");
    return true;
  });
}

}  // namespace dstack::shim::docker
