#include "shim/images/disk_share.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <format>

#include "common/error.h"
#include "common/text/number.h"
#include "common/text/quantity.h"
#include "common/text/split.h"

namespace dstack::shim::images {

std::uint64_t DiskShare::of(std::uint64_t disk_bytes) const {
  const auto hundredths = static_cast<std::uint64_t>(percent);
  return std::min(disk_bytes / 100 * hundredths + disk_bytes % 100 * hundredths / 100, bytes);
}

DiskShare parse_disk_share(std::string_view text) {
  if (text == "0") return {.percent = 0, .bytes = 0};
  DiskShare share;
  for (const std::string_view part : text::split(text, ',')) {
    const auto percent = part.ends_with('%') ? text::parse_number<int>(part.substr(0, part.size() - 1)) : std::nullopt;
    const auto bytes = text::parse_size(part);
    if (percent && *percent >= 0 && *percent <= 100) {
      share.percent = *percent;
    } else if (bytes) {
      share.bytes = *bytes;
    } else {
      throw Error(ErrorKind::invalid,
                  std::format("invalid value {}: expected as 15%, 20G, both as 15%,20G, or 0", printable(text)));
    }
  }
  return share;
}

DiskSpace disk_space(const std::filesystem::path& folder) {
  struct statvfs status{};
  if (::statvfs(folder.c_str(), &status) != 0) throw os_error("look at the disk of", folder.string());
  return {.free = std::uint64_t{status.f_bavail} * status.f_frsize,
          .total = std::uint64_t{status.f_blocks} * status.f_frsize};
}

std::string in_units(std::uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes >= 1ULL << 30) return std::format("{:.1f} GiB", value / (1ULL << 30));
  return std::format("{:.1f} MiB", value / (1ULL << 20));
}

}  // namespace dstack::shim::images
