#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/files/tree.h"

namespace dstack::files {

// Where an archive goes: `below` a folder that is trusted, with all links on the way to it. For the root folder `below`
// is empty.
struct Destination {
  std::filesystem::path folder;
  std::string below;
  // What is in the folder came from outside: links in it are not followed even where they have to stay.
  bool foreign = false;

  std::filesystem::path path() const { return below.empty() ? folder : folder / below; }
};

// Puts the archive's one root at exactly the destination. What was there is replaced, a link too, but a folder that has
// one of `kept` or a mount point in it, or is one, is merged with: what it holds and the archive does not name stays. A
// failure leaves nothing of what was to replace something. Throws Error.
void place_archive(const std::filesystem::path& archive, const Destination& destination,
                   const std::vector<std::filesystem::path>& kept, const std::optional<Owner>& owner,
                   const std::function<bool()>& stopped);

// Whether `path` has to stay: it is one of `kept` or of the mount points, or a folder above one; or it is a link to
// exactly one of these or to /, or one by which one of `kept` is named.
bool must_stay(const std::filesystem::path& path, const std::vector<std::filesystem::path>& kept);

// Whether `inner` is `outer` or below it, by their names.
bool is_within(const std::filesystem::path& inner, const std::filesystem::path& outer);

}  // namespace dstack::files
