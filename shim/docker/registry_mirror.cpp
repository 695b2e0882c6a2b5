#include "shim/docker/registry_mirror.h"

#include <spdlog/spdlog.h>
#include <format>

#include "common/error.h"
#include "shim/docker/pull_progress.h"

namespace dstack::shim::docker {

namespace {

// For the engine to ask the image's own registry.
constexpr std::chrono::seconds kDigestLimit{30};
// A task that is terminated may wait for it.
constexpr std::chrono::seconds kRemovalLimit{5};

// The mirror's name of an image that was pulled, for as long as this lives.
class MirrorName {
 public:
  MirrorName(EngineClient& engine, std::string name, bool stays)
      : engine_(engine), name_(std::move(name)), stays_(stays) {}
  MirrorName(const MirrorName&) = delete;
  MirrorName& operator=(const MirrorName&) = delete;
  ~MirrorName() {
    if (stays_) return;
    try {
      engine_.remove_image(name_, {.limit = kRemovalLimit});
    } catch (const std::exception& error) {
      spdlog::warn("Image name {} is left: {}", name_, error.what());
    }
  }

 private:
  EngineClient& engine_;
  const std::string name_;
  const bool stays_;
};

}  // namespace

RegistryMirror parse_registry_mirror(std::string_view text) {
  const auto refuse = [text] {
    return Error(
        ErrorKind::invalid,
        std::format("invalid registry {}: expected as mirror.example:5000 or mirror.example/path", printable(text)));
  };
  try {
    const ImageReference image = parse_image_reference(std::format("{}/image", text));
    const std::string host = image.server_address();
    if (!image.repository.starts_with(host + "/")) throw refuse();  // Docker Hub
  } catch (const std::exception&) {
    throw refuse();
  }
  return {.name = std::string(text)};
}

ImageReference mirrored(const RegistryMirror& mirror, const ImageReference& image, const std::string& digest) {
  return {.repository = std::format("{}/{}", mirror.name, image.path()), .digest = digest};
}

std::string pull_from_mirror(EngineClient& engine, const RegistryMirror& mirror, const ImageReference& image,
                             const std::function<void(std::string_view)>& take, const std::stop_token& stop) {
  std::string digest = engine.registry_digest(image, {.stop = stop, .limit = kDigestLimit});
  const ImageReference there = mirrored(mirror, image, digest);
  const bool was_there = engine.image_present(there, {.stop = stop});
  PullStream stream;
  engine.pull(there, {},
              [&](std::string_view piece) {
                stream.take(piece);
                take(piece);
              },
              {.stop = stop});
  if (!stream.error().empty())
    throw Error(ErrorKind::unavailable, std::format("pull {}: {}", there.name(), stream.error()));
  // Podman has no word of completion.
  if (!stream.completed() && !engine.image_present(there, {.stop = stop})) {
    throw Error(ErrorKind::unavailable,
                std::format("pull {}: Docker's stream ended before the pull was complete", there.name()));
  }
  const MirrorName name(engine, there.name(), was_there);
  engine.tag_image(there.name(), image, {.stop = stop});
  return digest;
}

}  // namespace dstack::shim::docker
