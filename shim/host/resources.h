#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace dstack::shim::host {

struct Resources {
  int cpus = 0;
  std::uint64_t memory = 0;            // bytes
  std::uint64_t disk_size = 0;         // bytes free for a job where Docker unpacks images
  std::vector<std::string> addresses;  // "10.0.0.5/24", of every interface but loopback
};

// What cannot be found out is logged and left 0 or empty.
Resources detect_resources(const std::filesystem::path& unpack_folder);

}  // namespace dstack::shim::host
