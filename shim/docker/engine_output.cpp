// What containers print, and the stream of their events.
#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/dump.h"
#include "shim/docker/engine_answers.h"
#include "shim/docker/engine_client.h"
#include "shim/docker/engine_limits.h"
#include "shim/docker/stream_frames.h"

namespace dstack::shim::docker {

namespace {

using nlohmann::json;

constexpr std::size_t kLineLimit = std::size_t{1} << 20;    // of the event stream
constexpr std::size_t kOutputLimit = std::size_t{1} << 20;  // bytes of a container's last lines
constexpr std::size_t kOutputLineLimit = 4096;
constexpr std::size_t kWholeOutputLimit = std::size_t{16} << 20;

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

std::vector<std::string> EngineClient::last_lines(const std::string& id, int count, const Call& call) {
  const std::string attempt = "read the output of container " + id;
  const std::optional<ContainerDetails> container = inspect(id, call);
  if (!container) throw Error(ErrorKind::not_found, attempt + ": no such container");
  std::string raw;
  const std::string query = std::format("/logs?stdout=1&stderr=1&tail={}", count);
  send(attempt, {.path = container_path(id, query)}, call, kQuickCall, {}, [&raw](std::string_view piece) {
    raw += piece;
    return raw.size() < kOutputLimit;
  });
  return split_lines(join_output(raw, container->tty), static_cast<std::size_t>(std::max(count, 0)));
}

ContainerOutput EngineClient::output(const std::string& id, const Call& call) {
  std::string raw;
  send("read the output of container " + id, {.path = container_path(id, "/logs?stdout=1&stderr=1")}, call, kQuickCall,
       {}, [&raw](std::string_view piece) {
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
  send(attempt, {.path = container_path(id, "/logs?stdout=1&stderr=1")}, call, kQuickCall, {},
       [&](std::string_view piece) {
         if (container->tty) return take(piece);
         frames.add(piece, [&](StreamFrames::Stream, std::string_view part) { more = more && take(part); });
         return more;
       });
}

void EngineClient::follow_ends(const std::string& label, std::chrono::sys_seconds since,
                               const std::function<void(const ContainerEvent&)>& take, const Call& call) {
  // No filter by event: engines name them differently.
  const json filters{{"type", json::array({"container"})}, {"label", json::array({label})}};
  const std::string path = std::format("/events?since={}&filters={}", since.time_since_epoch().count(),
                                       http::encode_url_component(dstack::json::dump(filters)));
  std::string rest;
  send("follow the events", {.path = path}, call, kUnboundedCall, {}, [&](std::string_view piece) {
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
