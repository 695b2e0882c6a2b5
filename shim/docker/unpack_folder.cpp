#include "shim/docker/unpack_folder.h"

#include "common/os/file.h"
#include "common/text/split.h"
#include "common/text/trim.h"

namespace dstack::shim::docker {

namespace {

namespace fs = std::filesystem;

// The value of `root = "/var/lib/containerd"` before the first table of a configuration in TOML; empty if it is not
// set.
std::string configured_root(std::string_view toml) {
  for (const std::string_view line : text::split_lines(toml)) {
    const std::string_view trimmed = text::trim(line);
    if (trimmed.starts_with('[')) break;
    const std::size_t equals = trimmed.find('=');
    if (equals == std::string_view::npos || text::trim(trimmed.substr(0, equals)) != "root") continue;
    const std::string_view value = text::trim(trimmed.substr(equals + 1));
    if (value.size() < 2 || (value.front() != '"' && value.front() != '\'')) continue;
    const std::size_t end = value.find(value.front(), 1);
    if (end != std::string_view::npos) return std::string(value.substr(1, end - 1));
  }
  return {};
}

}  // namespace

fs::path unpack_folder(const EngineInfo& info, const fs::path& root) {
  if (!info.containerd_images) return info.root_directory;
  std::error_code ignored;
  // A containerd that dockerd starts itself has its folder in dockerd's.
  fs::path own = fs::path(info.root_directory) / "containerd/daemon";
  if (info.containerd_address.contains("/docker/")) return own;
  if (info.containerd_address.empty() && fs::exists(root / own.relative_path(), ignored)) return own;
  const std::string configured = configured_root(os::try_read_file(root / "etc/containerd/config.toml").value_or(""));
  const fs::path system = configured.empty() ? "/var/lib/containerd" : configured;
  return fs::exists(root / system.relative_path(), ignored) ? system : fs::path(info.root_directory);
}

}  // namespace dstack::shim::docker
