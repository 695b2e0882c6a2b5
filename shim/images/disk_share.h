#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace dstack::shim::images {

// How much of a disk: a part of it or a size, whichever is less.
struct DiskShare {
  int percent = 100;
  std::uint64_t bytes = UINT64_MAX;

  std::uint64_t of(std::uint64_t disk_bytes) const;
  bool is_nothing() const { return percent == 0 || bytes == 0; }
};

// "15%", "20G", both with a comma between them, or "0". Throws Error (invalid).
DiskShare parse_disk_share(std::string_view text);

struct DiskSpace {
  std::uint64_t free = 0;  // for others than root
  std::uint64_t total = 0;
};

// Of the disk that the folder is on. Throws Error.
DiskSpace disk_space(const std::filesystem::path& folder);

// "1.5 GiB"
std::string in_units(std::uint64_t bytes);

}  // namespace dstack::shim::images
