// The engine's images: pulling one, what there is, what is in use, removing one.
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/json/member.h"
#include "common/text/base64.h"
#include "shim/docker/engine_answers.h"
#include "shim/docker/engine_client.h"
#include "shim/docker/engine_limits.h"

namespace dstack::shim::docker {

namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr std::chrono::milliseconds kImageRemovalLimit = 5min;

// The image of each container that was made, out of the event stream's lines.
void add_images_of_events(std::string_view lines, std::set<std::string>& images) {
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    const json event = json::parse(lines.substr(0, end), nullptr, false);
    const json& attributes = dstack::json::member(dstack::json::member(event, "Actor"), "Attributes");
    images.insert(dstack::json::text_member(attributes, "image"));
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
}

}  // namespace

std::vector<ImageSummary> EngineClient::images(const Call& call) {
  const std::string attempt = "list the images";
  const json answer = parse_answer(attempt, send(attempt, {.path = "/images/json"}, call, kQuickCall).body);
  if (!answer.is_array()) throw Error(ErrorKind::unavailable, attempt + ": the answer is not a list");
  std::vector<ImageSummary> images;
  for (const json& image : answer) images.push_back({.id = dstack::json::text_member(image, "Id")});
  return images;
}

std::set<std::string> EngineClient::used_images(std::chrono::sys_seconds since, std::chrono::sys_seconds until,
                                                const Call& call) {
  const std::string attempt = "list the images that are in use";
  const json answer = parse_answer(attempt, send(attempt, {.path = "/containers/json?all=1"}, call, kQuickCall).body);
  if (!answer.is_array()) throw Error(ErrorKind::unavailable, attempt + ": the answer is not a list");
  std::set<std::string> images;
  for (const json& container : answer) {
    images.insert(dstack::json::text_member(container, "ImageID"));
    images.insert(dstack::json::text_member(container, "Image"));
  }
  const json filters{{"type", json::array({"container"})}, {"event", json::array({"create"})}};
  const std::string path =
      std::format("/events?since={}&until={}&filters={}", since.time_since_epoch().count(),
                  until.time_since_epoch().count(), http::encode_url_component(dstack::json::dump(filters)));
  add_images_of_events(send(attempt, {.path = path}, call, kQuickCall).body, images);
  images.erase("");
  return images;
}

std::string EngineClient::registry_digest(const ImageReference& image, const Call& call) {
  const std::string attempt = std::format("ask the registry of {} for its digest", image.name());
  const json answer = parse_answer(
      attempt, send(attempt, {.path = std::format("/distribution/{}/json", image.name())}, call, kQuickCall).body);
  std::string digest = dstack::json::text_member(dstack::json::member(answer, "Descriptor"), "digest");
  // It becomes part of a name.
  parse_image_reference("image@" + digest);
  return digest;
}

void EngineClient::tag_image(const std::string& image, const ImageReference& name, const Call& call) {
  send(std::format("give image {} the name {}", image, name.name()),
       {.method = "POST",
        .path = std::format("/images/{}/tag?repo={}&tag={}", image, http::encode_url_component(name.repository),
                            http::encode_url_component(name.tag))},
       call, kQuickCall);
}

void EngineClient::remove_image(const std::string& image, const Call& call) {
  // Slashes are part of the path here.
  send("remove image " + image, {.method = "DELETE", .path = std::format("/images/{}", image)}, call,
       kImageRemovalLimit, {404});
}

bool EngineClient::image_present(const ImageReference& image, const Call& call) {
  // A name that was parsed has no byte that means something in a URL.
  return send("look for image " + image.name(), {.path = std::format("/images/{}/json", image.name())}, call,
              kQuickCall, {404})
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
  send("pull " + image.name(), std::move(request), call, kUnboundedCall, {}, [&take](std::string_view piece) {
    take(piece);
    return true;
  });
}

std::optional<ImageDetails> EngineClient::inspect_image(const std::string& id, const Call& call) {
  const std::string attempt = "look at image " + id;
  const http::ClientResponse response =
      send(attempt, {.path = std::format("/images/{}/json", id)}, call, kQuickCall, {404});
  if (response.status == 404) return std::nullopt;
  return parse_image(parse_answer(attempt, response.body));
}

}  // namespace dstack::shim::docker
