#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace dstack::files {

struct Packing {
  std::string name;          // of the archive's root entry; "." for a folder whose content is meant
  bool keep_owners = false;  // else all is root's
  // Gets what could not be read, and why; the rest is packed.
  std::function<void(const std::string& reason)> skipped;
};

// Writes what is at `source`, with everything below it, as a tar archive (pax) to `write`. Links are packed as links,
// `source` itself too. Devices, pipes and sockets are left out. Throws Error if `source` cannot be read, and whatever
// `write` throws.
void pack(const std::filesystem::path& source, const Packing& how, const std::function<void(std::string_view)>& write);

}  // namespace dstack::files
