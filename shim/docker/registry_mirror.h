#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include "shim/docker/engine_client.h"
#include "shim/docker/image_reference.h"
#include "shim/docker/mirror_names.h"

namespace dstack::shim::docker {

// A registry near this host, "mirror.example:5000" or with a path in it, "mirror.example/hub". It has an image under
// the path that the image has in its own registry: "mirror.example:5000/library/python" for Docker Hub's python.
struct RegistryMirror {
  std::string name;
};

// Throws Error (invalid).
RegistryMirror parse_registry_mirror(std::string_view text);

// Where the mirror has an image.
ImageReference mirrored(const RegistryMirror& mirror, const ImageReference& image, const std::string& digest);

// Pulls an image that has a tag and no digest from the mirror, by the digest that its own registry has for the tag now:
// so the engine takes nothing else from the mirror. Then it has its own name, and not the mirror's, unless it was there
// under that before; `names` has the mirror's name meanwhile. `take` gets the engine's stream. Returns the digest.
//
// Throws Error for anything else; the image may then be there without a name.
std::string pull_from_mirror(EngineClient& engine, const RegistryMirror& mirror, MirrorNames& names,
                             const ImageReference& image, const std::function<void(std::string_view)>& take,
                             const std::stop_token& stop);

}  // namespace dstack::shim::docker
