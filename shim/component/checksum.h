#pragma once

#include <filesystem>
#include <string>

namespace dstack::shim::component {

// The SHA-256 checksum of a file's content, in lower-case hexadecimal. Throws Error.
std::string sha256_of(const std::filesystem::path& file);

}  // namespace dstack::shim::component
