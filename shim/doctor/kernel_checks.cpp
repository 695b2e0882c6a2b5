#include "shim/doctor/kernel_checks.h"

#include <algorithm>
#include <array>
#include <format>

#include "common/os/file.h"
#include "common/os/mounts.h"
#include "common/text/number.h"
#include "common/text/split.h"
#include "common/text/trim.h"

namespace dstack::shim::doctor {

namespace {

namespace fs = std::filesystem;

// A setting below /proc/sys, and what it should be at least.
struct Limit {
  const char* name;
  std::uint64_t least;
};
// The kernel's own defaults, or a tenth of what distributions set.
constexpr std::array kLimits{Limit{"fs/inotify/max_user_instances", 128}, Limit{"fs/inotify/max_user_watches", 8192},
                             Limit{"fs/file-max", 65536}};
constexpr std::uint64_t kLeastOpenFiles = 1024;

// The soft limit of "Max open files            1024                 524288               files".
std::optional<std::uint64_t> open_files_limit(std::string_view limits_text) {
  constexpr std::string_view name = "Max open files";
  for (const std::string_view line : text::split_lines(limits_text)) {
    if (!line.starts_with(name)) continue;
    const auto words = text::split_words(line.substr(name.size()));
    return words.empty() ? std::nullopt : text::parse_number<std::uint64_t>(words[0]);
  }
  return std::nullopt;
}

// The mount that holds this path; nothing if no mount does.
const os::Mount* mount_of(const std::vector<os::Mount>& mounts, const fs::path& path) {
  const os::Mount* best = nullptr;
  for (const os::Mount& mount : mounts) {
    const std::string below = mount.mount_point == "/" ? "/" : mount.mount_point + "/";
    const bool holds = path == mount.mount_point || path.string().starts_with(below);
    // The last of those at one place is the one that is seen.
    if (holds && (best == nullptr || mount.mount_point.size() >= best->mount_point.size())) best = &mount;
  }
  return best;
}

bool has_default_route(std::string_view routes) {
  // IPv4: interface destination gateway flags …
  return std::ranges::any_of(text::split_lines(routes), [](std::string_view line) {
    const auto words = text::split_words(line);
    return words.size() >= 4 && words[1] == "00000000";
  });
}

bool has_default_route6(std::string_view routes) {
  // destination, its prefix length, … the interface at the end. The loopback's is the one that refuses.
  return std::ranges::any_of(text::split_lines(routes), [](std::string_view line) {
    const auto words = text::split_words(line);
    return words.size() >= 10 && words[1] == "00" && words.back() != "lo" &&
           words[0] == "00000000000000000000000000000000";
  });
}

}  // namespace

Finding check_limits(const Host& host) {
  std::string low;
  std::string remedy;
  for (const Limit& limit : kLimits) {
    const std::string text = os::try_read_file(host.root / "proc/sys" / limit.name).value_or("");
    const auto value = text::parse_number<std::uint64_t>(text::trim(text));
    if (!value || *value >= limit.least) continue;
    std::string name = limit.name;
    std::ranges::replace(name, '/', '.');
    low += std::format("{}{} is {}", low.empty() ? "" : ", ", name, *value);
    remedy += std::format("{}`sysctl -w {}={}`", remedy.empty() ? "" : ", ", name, limit.least * 8);
  }
  if (!low.empty()) {
    return warning(std::format("{}: jobs that watch or open many files fail", low),
                   remedy + "; a file in /etc/sysctl.d keeps it");
  }
  const std::string process = host.shim_pid ? std::to_string(*host.shim_pid) : "self";
  const auto open_files = open_files_limit(os::try_read_file(host.root / "proc" / process / "limits").value_or(""));
  if (open_files && *open_files < kLeastOpenFiles) {
    return warning(
        std::format("{} may open {} files only", host.shim_pid ? "the running dstack-shim" : "this shell", *open_files),
        "raise it: LimitNOFILE=65536 in the service's unit, or `ulimit -n 65536` where it is started by hand");
  }
  return ok("inotify and open files have room");
}

Finding check_noexec(const Host& host) {
  const auto mounts = os::read_mounts(host.root / "proc/self/mountinfo");
  std::string found;
  for (const fs::path& path : {fs::path("/tmp"), host.home, host.runner_binary.parent_path()}) {
    const os::Mount* const mount = mount_of(mounts, path);
    if (mount == nullptr || !std::ranges::contains(text::split(mount->flags, ','), "noexec")) continue;
    const std::string point = readable(mount->mount_point);
    if (!found.contains(point)) found += (found.empty() ? "" : ", ") + point;
  }
  if (found.empty()) return ok("programs may run where they have to");
  return warning(std::format("mounted noexec: {}; what lies there cannot be run, in containers either", found),
                 "`mount -o remount,exec FOLDER`, and take noexec out of /etc/fstab; or put the shim's home elsewhere "
                 "(DSTACK_SHIM_HOME)");
}

Finding check_network(const Host& host) {
  const bool by_ipv4 = has_default_route(os::try_read_file(host.root / "proc/net/route").value_or(""));
  const bool by_ipv6 = has_default_route6(os::try_read_file(host.root / "proc/net/ipv6_route").value_or(""));
  if (by_ipv4) return ok(by_ipv6 ? "IPv4 and IPv6" : "IPv4");
  if (!by_ipv6) {
    return warning("no default route: images and code cannot be downloaded",
                   "`ip route` shows the routes; check the "
                   "network's configuration");
  }
  return warning("IPv6 only: containers in Docker's bridge network have IPv4 addresses, and reach nothing",
                 "set \"ipv6\": true and \"fixed-cidr-v6\" in /etc/docker/daemon.json and restart Docker, or use the "
                 "host's network for tasks");
}

}  // namespace dstack::shim::doctor
