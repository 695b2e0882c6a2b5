#include "common/os/directory.h"

namespace dstack::os {

Listing list_directory(const std::filesystem::path& folder) {
  Listing listing;
  std::filesystem::directory_iterator entry(folder, listing.failure);
  while (!listing.failure && entry != std::filesystem::directory_iterator()) {
    listing.names.push_back(entry->path().filename().string());
    entry.increment(listing.failure);
  }
  return listing;
}

}  // namespace dstack::os
