#pragma once

#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

namespace dstack::os {

struct Listing {
  std::vector<std::string> names;  // as far as they could be read
  std::error_code failure;         // why there may be more
};

// The names of a folder's entries in no order, without "." and "..". A range-for over std::filesystem's iterator throws
// when an entry cannot be read, also where the iterator was made with an error code.
Listing list_directory(const std::filesystem::path& folder);

}  // namespace dstack::os
