#pragma once

#include <string>

namespace dstack::shim::ci::cloud {

// The public half of a private SSH key, as a line of authorized_keys. `key` is the text of the key or the path of its
// file. Throws Error, without quoting either.
std::string public_half(const std::string& key);

// The public half of a key that nobody has.
std::string throwaway_public_key();

}  // namespace dstack::shim::ci::cloud
