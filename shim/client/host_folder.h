#pragma once

#include <optional>
#include <string>

namespace dstack::shim::client {

// A file or folder of the host in a container.
struct HostFolder {
  std::string source;  // absolute
  std::string target;  // absolute
  bool read_only = false;
};

// "/HOST:/PATH", "/HOST:/PATH:ro"; a HOST that begins with "." is relative to the working directory. Nothing for
// anything else.
std::optional<HostFolder> parse_host_folder(const std::string& text);

}  // namespace dstack::shim::client
