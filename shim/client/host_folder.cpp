#include "shim/client/host_folder.h"

#include <filesystem>
#include <string_view>
#include <vector>

#include "common/text/split.h"

namespace dstack::shim::client {

namespace {

// As docker has them; what else docker takes there ("z", "shared") is not supported.
constexpr std::string_view kReadOnly = "ro";
constexpr std::string_view kReadWrite = "rw";

}  // namespace

std::optional<HostFolder> parse_host_folder(const std::string& text) {
  const std::vector<std::string_view> parts = text::split(text, ':');
  if (parts.size() < 2 || parts.size() > 3) return std::nullopt;
  HostFolder folder{.source = std::string(parts[0]), .target = std::string(parts[1])};
  if (folder.source == "." || folder.source == ".." || folder.source.starts_with("./") ||
      folder.source.starts_with("../")) {
    std::error_code failure;
    folder.source = std::filesystem::absolute(folder.source, failure).lexically_normal().string();
    if (failure) return std::nullopt;
  }
  if (!folder.source.starts_with('/') || !folder.target.starts_with('/')) return std::nullopt;
  if (parts.size() == 3) {
    if (parts[2] != kReadOnly && parts[2] != kReadWrite) return std::nullopt;
    folder.read_only = parts[2] == kReadOnly;
  }
  return folder;
}

}  // namespace dstack::shim::client
