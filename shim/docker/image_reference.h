#pragma once

#include <string>
#include <string_view>

namespace dstack::shim::docker {

// An image's name taken apart: "registry.example:5000/team/app:1.2@sha256:…".
struct ImageReference {
  std::string repository;  // with the registry, "registry.example:5000/team/app"
  std::string tag;         // "latest" where the name has neither tag nor digest; empty with a digest alone
  std::string digest;      // "sha256:…" or empty

  // The whole name, always with a tag or a digest: what the engine is given and what messages show.
  std::string name() const;

  // What engines and their clients know the registry by: "registry.example:5000", and for a name without a registry
  // Docker Hub's "https://index.docker.io/v1/".
  std::string server_address() const;

  // What the registry knows it by: "team/app", and "library/python" for Docker Hub's python.
  std::string path() const;

  // A tag that moves: such an image is pulled even if it is there.
  bool is_latest() const { return digest.empty() && tag == "latest"; }

  friend bool operator==(const ImageReference&, const ImageReference&) = default;
};

// Throws Error (invalid) for what cannot be an image's name: empty, with spaces, control characters or upper case in
// the repository, an empty tag. The colon of a registry's port is not taken for a tag's.
ImageReference parse_image_reference(std::string_view name);

}  // namespace dstack::shim::docker
