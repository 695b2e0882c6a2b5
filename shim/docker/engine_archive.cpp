// Files of a container as tar archives.
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/member.h"
#include "common/text/base64.h"
#include "shim/docker/engine_answers.h"
#include "shim/docker/engine_client.h"
#include "shim/docker/engine_limits.h"

namespace dstack::shim::docker {

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kNoArchiveLimit = 0ms;

// Bits of the mode as Go has them.
constexpr std::uint32_t kFolder = std::uint32_t{1} << 31;
constexpr std::uint32_t kLink = std::uint32_t{1} << 27;

std::string archive_path(std::string_view container, std::string_view path, std::string_view more = "") {
  return std::format("/containers/{}/archive?path={}{}", http::encode_url_component(container),
                     http::encode_url_component(path), more);
}

}  // namespace

std::optional<ContainerPath> EngineClient::stat_path(const std::string& container, const std::string& path,
                                                     const Call& call) {
  const std::string attempt = std::format("look at {} in container {}", printable(path), container);
  const http::ClientResponse response =
      send(attempt, {.method = "HEAD", .path = archive_path(container, path)}, call, kQuickCall, {404});
  if (response.status == 404) return std::nullopt;
  const auto header = response.headers.find("x-docker-container-path-stat");
  const auto text = header == response.headers.end() ? std::nullopt : text::decode_base64(header->second);
  if (!text) throw Error(ErrorKind::unavailable, attempt + ": the answer does not describe the path");
  const nlohmann::json status = parse_answer(attempt, *text);
  const std::uint32_t mode = status.is_object() && status.contains("mode") && status["mode"].is_number_unsigned()
                                 ? status["mode"].get<std::uint32_t>()
                                 : 0;
  return ContainerPath{.is_folder = (mode & kFolder) != 0,
                       .is_link = (mode & kLink) != 0,
                       .link_target = dstack::json::text_member(status, "linkTarget")};
}

void EngineClient::read_archive(const std::string& container, const std::string& path,
                                const std::function<bool(std::string_view)>& take, const Call& call) {
  send(std::format("read {} of container {}", printable(path), container), {.path = archive_path(container, path)},
       call, kNoArchiveLimit, {}, take);
}

void EngineClient::write_archive(const std::string& container, const std::string& folder,
                                 const std::function<std::size_t(std::span<char>)>& source, const Call& call) {
  http::ClientRequest request{.method = "PUT",
                              .path = archive_path(container, folder, "&noOverwriteDirNonDir=true"),
                              .headers = {"Content-Type: application/x-tar"}};
  request.body_source = source;
  send(std::format("write to {} of container {}", printable(folder), container), std::move(request), call,
       kNoArchiveLimit);
}

}  // namespace dstack::shim::docker
