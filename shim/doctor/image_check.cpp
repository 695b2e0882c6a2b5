#include "shim/doctor/image_check.h"

#include <algorithm>
#include <chrono>
#include <format>

#include "shim/images/disk_share.h"
#include "shim/images/image_list.h"

namespace dstack::shim::doctor {

namespace {

constexpr std::size_t kImagesNamed = 3;

}  // namespace

Finding check_images(const Host& host) {
  images::ImageList list;
  try {
    list = images::read_image_list(host.home / "images.json");
  } catch (const std::exception& error) {
    return warning(error.what(), "the shim removes no image that it pulled before; remove the file to begin anew");
  }
  std::uint64_t bytes = 0;
  for (const images::Image& image : list.images) bytes += image.bytes;
  std::string found = std::format("{} pulled by the shim, {}", list.images.size(), images::in_units(bytes));
  if (list.removed.empty()) return ok(found);
  found += "; removed to make room:";
  const std::size_t first = list.removed.size() - std::min(list.removed.size(), kImagesNamed);
  for (std::size_t i = list.removed.size(); i-- > first;) {
    const std::chrono::sys_seconds time{std::chrono::seconds(list.removed[i].time)};
    found += std::format("{} {} ({:%Y-%m-%d %H:%M} UTC)", i + 1 == list.removed.size() ? "" : ",",
                         readable(list.removed[i].reference), time);
  }
  return ok(found);
}

}  // namespace dstack::shim::doctor
