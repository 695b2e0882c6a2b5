#include "shim/docker/registry_mirror.h"

#include <format>
#include <optional>

#include "common/error.h"
#include "shim/docker/pull_progress.h"

namespace dstack::shim::docker {

namespace {

// For the engine to ask the image's own registry.
constexpr std::chrono::seconds kDigestLimit{30};
// The mirror's name of an image that is pulled, for as long as this lives.
class MirrorName {
 public:
  MirrorName(MirrorNames& names, std::string name) : names_(names), name_(std::move(name)) { names_.add(name_); }
  MirrorName(const MirrorName&) = delete;
  MirrorName& operator=(const MirrorName&) = delete;
  ~MirrorName() { names_.remove(name_); }

 private:
  MirrorNames& names_;
  const std::string name_;
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

std::string pull_from_mirror(EngineClient& engine, const RegistryMirror& mirror, MirrorNames& names,
                             const ImageReference& image, const std::function<void(std::string_view)>& take,
                             const std::stop_token& stop) {
  std::string digest = engine.registry_digest(image, {.stop = stop, .limit = kDigestLimit});
  const ImageReference there = mirrored(mirror, image, digest);
  // A name that was there before is not the shim's, and stays.
  std::optional<MirrorName> name;
  if (names.has(there.name()) || !engine.image_present(there, {.stop = stop})) name.emplace(names, there.name());
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
  engine.tag_image(there.name(), image, {.stop = stop});
  return digest;
}

}  // namespace dstack::shim::docker
