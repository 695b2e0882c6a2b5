#include "shim/host/container_processes.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <format>
#include <ranges>

#include "common/error.h"
#include "common/os/capabilities.h"
#include "common/os/file.h"
#include "common/os/proc_net.h"
#include "common/text/number.h"
#include "common/text/split.h"

namespace dstack::shim::host {

namespace {

// The first process table of a machine, which has every process. (PROC_PID_INIT_INO)
constexpr std::string_view kFirstProcessTable = "pid:[4026531836]";

bool exhausted(const std::error_code& failure) {
  return failure == std::errc::too_many_files_open || failure == std::errc::too_many_files_open_in_system ||
         failure == std::errc::not_enough_memory;
}

std::filesystem::directory_iterator entries_of(const std::filesystem::path& folder, std::error_code& failure) {
  std::filesystem::directory_iterator entries(folder, failure);
  if (exhausted(failure)) throw os_error("open", folder.string(), failure.value());
  return entries;
}

std::string link_target(const std::filesystem::path& link) {
  std::error_code failure;
  return std::filesystem::read_symlink(link, failure).string();
}

}  // namespace

std::optional<std::string> container_in(std::string_view cgroup_path, const ContainerIds& containers) {
  const auto found = std::ranges::find_if(
      containers, [cgroup_path](const std::string& id) { return !id.empty() && cgroup_path.contains(id); });
  if (found == containers.end()) return std::nullopt;
  return *found;
}

ContainerProcesses::ContainerProcesses(std::filesystem::path proc)
    : proc_(std::move(proc)),
      sees_all_(link_target(proc_ / "self/ns/pid") == kFirstProcessTable &&
                os::has_capability(os::Capability::sys_ptrace)) {}

std::vector<std::string> ContainerProcesses::pids() const {
  std::vector<std::string> pids;
  std::error_code failure;
  for (auto entry = entries_of(proc_, failure); entry != end(entry); entry.increment(failure)) {
    std::string name = entry->path().filename().string();
    if (name.front() >= '1' && name.front() <= '9') pids.push_back(std::move(name));
  }
  return pids;
}

std::string ContainerProcesses::cgroups_of(const std::string& pid) const {
  return os::try_read_file(proc_ / pid / "cgroup").value_or("");
}

ContainerProcesses::Held ContainerProcesses::holds(const std::string& pid, const std::string& socket) const {
  std::error_code failure;
  auto entry = entries_of(proc_ / pid / "fd", failure);
  // A process that has ended holds nothing.
  if (failure) {
    const bool ended = failure == std::errc::no_such_file_or_directory || failure == std::errc::no_such_process;
    return ended ? Held::no : Held::cannot_see;
  }
  std::array<char, 64> target{};
  for (; entry != end(entry); entry.increment(failure)) {
    const ssize_t length = ::readlink(entry->path().c_str(), target.data(), target.size());
    if (length < 0 && (errno == EACCES || errno == EPERM)) return Held::cannot_see;
    if (length > 0 && std::string_view(target.data(), static_cast<std::size_t>(length)) == socket) return Held::yes;
  }
  return Held::no;
}

ContainerProcesses::Holder ContainerProcesses::holder_of(std::uint64_t socket_inode,
                                                         const ContainerIds& containers) const {
  const std::string socket = std::format("socket:[{}]", socket_inode);
  std::vector<std::string> insiders;
  bool seen_all = sees_all_;
  const auto is_outsider_with_it = [&](const std::string& pid) {
    const std::string cgroups = cgroups_of(pid);
    if (cgroups.empty()) return false;  // it has ended
    if (container_in(cgroups, containers)) {
      insiders.push_back(pid);
      return false;
    }
    const Held held = holds(pid, socket);
    if (held == Held::cannot_see) seen_all = false;
    return held == Held::yes;
  };
  if (const int last = last_outsider_; last != 0 && is_outsider_with_it(std::to_string(last))) return Holder::outsider;
  // The newest first: what calls is often a command that has just been started.
  const std::vector<std::string> all = pids();
  for (const std::string& pid : all | std::views::reverse) {
    if (!is_outsider_with_it(pid)) continue;
    last_outsider_ = text::parse_number<int>(pid).value_or(0);
    return Holder::outsider;
  }
  if (seen_all) return Holder::no_process;
  const bool inside = std::ranges::any_of(insiders, [&](const auto& pid) { return holds(pid, socket) == Held::yes; });
  return inside ? Holder::insider : Holder::unknown;
}

ContainerIds ContainerProcesses::told_by_cgroup2(const ContainerIds& containers) const {
  ContainerIds told;
  for (const std::string& pid : pids()) {
    const std::string cgroups = cgroups_of(pid);
    for (const std::string_view line : text::split_lines(cgroups)) {
      // "0::/docker/0123…" is the hierarchy of cgroup2, "4:memory:/…" one of version 1.
      if (!line.starts_with("0::")) continue;
      if (auto container = container_in(line, containers)) told.insert(*std::move(container));
    }
  }
  return told;
}

std::optional<std::string> ContainerProcesses::container_with(const os::TcpEnd& end,
                                                              const ContainerIds& containers) const {
  const std::vector<std::string> wanted = os::proc_net_names(end);
  std::set<std::string> seen;
  for (const std::string& pid : pids()) {
    auto container = container_in(cgroups_of(pid), containers);
    if (!container || !seen.insert(link_target(proc_ / pid / "ns/net")).second) continue;
    for (const char* table : {"net/tcp", "net/tcp6"}) {
      const std::string text = os::try_read_file(proc_ / pid / table).value_or("");
      const auto is_wanted = [&wanted](const os::TcpEntry& entry) {
        return std::ranges::contains(wanted, entry.local);
      };
      if (std::ranges::any_of(os::parse_proc_net_tcp(text), is_wanted)) return container;
    }
  }
  return std::nullopt;
}

}  // namespace dstack::shim::host
