#include "shim/images/image_list.h"

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/json/object_reader.h"
#include "common/json/refusal.h"
#include "common/os/file.h"

namespace dstack::shim::images {

using dstack::json::ObjectReader;
using nlohmann::json;

namespace {

std::uint64_t bytes_in(const ObjectReader& reader) {
  return static_cast<std::uint64_t>(reader.integer("size", 0, 0, INT64_MAX));
}

}  // namespace

ImageList read_image_list(const std::filesystem::path& file) {
  ImageList list;
  if (!std::filesystem::exists(file)) return list;
  try {
    const json object = dstack::json::parse_object(os::read_file(file));
    const ObjectReader reader(object);
    reader.objects("images", [&list](const ObjectReader& image) {
      list.images.push_back({.reference = image.string("reference"),
                             .id = image.string("id"),
                             .digest = image.string("digest"),
                             .bytes = bytes_in(image),
                             .last_use = image.integer("last_use")});
    });
    reader.objects("removed", [&list](const ObjectReader& image) {
      list.removed.push_back(
          {.reference = image.string("reference"), .bytes = bytes_in(image), .time = image.integer("time")});
    });
  } catch (const std::exception& error) {
    throw Error(error_kind(error), file.string() + ": " + error.what());
  }
  return list;
}

void write_image_list(const std::filesystem::path& file, const ImageList& list) {
  json images = json::array();
  for (const Image& image : list.images) {
    images.push_back({{"reference", image.reference},
                      {"id", image.id},
                      {"digest", image.digest},
                      {"size", image.bytes},
                      {"last_use", image.last_use}});
  }
  json removed = json::array();
  for (const RemovedImage& image : list.removed)
    removed.push_back({{"reference", image.reference}, {"size", image.bytes}, {"time", image.time}});
  const json object{{"images", std::move(images)}, {"removed", std::move(removed)}};
  os::write_file_atomic(file, dstack::json::dump(object, 2) + "\n", 0600);
}

}  // namespace dstack::shim::images
