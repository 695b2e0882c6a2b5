#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "common/files/tree.h"

namespace dstack::files {

// Where an archive's entries go.
enum class Layout {
  as_named,  // below the tree's root, each under its own name
  one_root,  // the archive has one root entry; what is below it goes below `place`, and the root entry is `place`
};

struct Unpacking {
  Layout layout = Layout::as_named;
  std::string place;  // for one_root; empty for the tree's root itself, which is a folder then
  std::function<bool()> stopped = [] { return false; };  // asked now and then
  // What a folder replaces is a folder, and what replaces a folder is one; else an Error, and nothing is removed.
  bool keep_kinds = false;
  // Entries get the archive's owners, by number.
  bool keep_owners = false;
  // Gets what is wrong with an entry that is left out: a device, pipe or socket. Where it is not set, that is an Error.
  std::function<void(const std::string& reason)> skipped = nullptr;
};

// Unpacks a tar archive, maybe gzipped, into the tree; a file without a byte holds no entry. Memory is constant
// whatever the archive holds. Throws Error that names the entry; what was unpacked until then stays. Set-uid bits and
// the like are not set.
void unpack(const std::filesystem::path& archive, Tree& tree, const Unpacking& how);
// The same from a descriptor, a pipe say, that is read to its end.
void unpack(int archive, Tree& tree, const Unpacking& how);

}  // namespace dstack::files
