#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "runner/files/tree.h"

namespace dstack::runner::files {

// Where an archive's entries go.
enum class Layout {
  as_named,  // below the tree's root, each under its own name
  one_root,  // the archive has one root entry; what is below it goes below `place`, and the root entry is `place`
};

struct Unpacking {
  Layout layout = Layout::as_named;
  std::string place;  // for one_root; empty for the tree's root itself, which is a folder then
  std::function<bool()> stopped = [] { return false; };  // asked now and then
};

// Unpacks a tar archive, maybe gzipped, into the tree; a file without a byte holds no entry. Memory is constant
// whatever the archive holds. Throws Error that names the entry; what was unpacked until then stays. Devices, pipes and
// sockets are refused.
void unpack(const std::filesystem::path& archive, Tree& tree, const Unpacking& how);

}  // namespace dstack::runner::files
