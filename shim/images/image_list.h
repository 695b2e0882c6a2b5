#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace dstack::shim::images {

// An image that this shim pulled, and that was not there before.
struct Image {
  std::string reference;  // as the engine knows it, "registry/name:tag"; its id once the tag is another image's
  std::string id;
  std::string digest;  // in its registry, "sha256:…"; empty if it is not known
  std::uint64_t bytes = 0;
  std::int64_t last_use = 0;  // seconds since the epoch

  friend bool operator==(const Image&, const Image&) = default;
};

// One that was removed to make room.
struct RemovedImage {
  std::string reference;
  std::uint64_t bytes = 0;
  std::int64_t time = 0;  // seconds since the epoch
};

// What <home>/images.json holds.
struct ImageList {
  std::vector<Image> images;
  std::vector<RemovedImage> removed;  // the last ones, the latest at the end
};

// An empty list if the file is not there. Throws Error if it cannot be read.
ImageList read_image_list(const std::filesystem::path& file);
// Throws Error.
void write_image_list(const std::filesystem::path& file, const ImageList& list);

}  // namespace dstack::shim::images
