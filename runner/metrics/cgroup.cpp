#include "runner/metrics/cgroup.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "common/os/file.h"
#include "common/os/mounts.h"
#include "common/text/number.h"
#include "common/text/split.h"
#include "common/text/trim.h"

namespace dstack::runner::metrics {

namespace {

std::optional<std::uint64_t> parse_number(std::string_view text) {
  return text::parse_number<std::uint64_t>(text::trim_end(text));
}

// A file that holds one number.
std::optional<std::uint64_t> read_number(const std::filesystem::path& file) {
  const auto text = os::try_read_file(file);
  return text ? parse_number(*text) : std::nullopt;
}

// The number behind `name` in a file of lines "name number".
std::optional<std::uint64_t> read_named(const std::filesystem::path& file, std::string_view name) {
  const auto text = os::try_read_file(file);
  if (!text) return std::nullopt;
  for (std::string_view rest = *text; !rest.empty();) {
    std::string_view line = text::take_line(rest);
    if (text::take_until(line, ' ') == name) return parse_number(line);
  }
  return std::nullopt;
}

// Of a list separated by commas.
bool lists(std::string_view list, std::string_view item) { return std::ranges::contains(text::split(list, ','), item); }

// What the kernel says about this process's groups and where their hierarchies are mounted, read once for one look.
struct Hierarchies {
  explicit Hierarchies(const std::filesystem::path& root)
      : mounts(os::parse_mounts(os::try_read_file(root / "proc/self/mountinfo").value_or(""))),
        groups(os::try_read_file(root / "proc/self/cgroup").value_or("")) {}

  std::vector<os::Mount> mounts;
  std::string groups;  // lines "number:controllers:path"
};

// Where the hierarchy with `controller` is mounted; an empty one means version 2.
const os::Mount* find_mount(const Hierarchies& hierarchies, std::string_view controller) {
  const auto wanted = [controller](const os::Mount& mount) {
    return controller.empty() ? mount.type == "cgroup2" : mount.type == "cgroup" && lists(mount.options, controller);
  };
  const auto found = std::ranges::find_if(hierarchies.mounts, wanted);
  return found == hierarchies.mounts.end() ? nullptr : &*found;
}

// The group's path in that hierarchy.
std::optional<std::string_view> find_group(const Hierarchies& hierarchies, std::string_view controller) {
  for (std::string_view rest = hierarchies.groups; !rest.empty();) {
    std::string_view line = text::take_line(rest);
    const std::string_view number = text::take_until(line, ':');
    const std::string_view controllers = text::take_until(line, ':');
    if (controller.empty() ? number == "0" && controllers.empty() : lists(controllers, controller)) return line;
  }
  return std::nullopt;
}

// The folder with the group's files.
std::optional<std::filesystem::path> find_folder(const std::filesystem::path& root, const Hierarchies& hierarchies,
                                                 std::string_view controller) {
  const os::Mount* mount = find_mount(hierarchies, controller);
  const auto group = find_group(hierarchies, controller);
  if (mount == nullptr || !group) return std::nullopt;
  const std::filesystem::path point = root / std::filesystem::path(mount->mount_point).relative_path();
  std::string_view below = *group;
  // A container without a namespace of its own sees the host's path of its group, and that group mounted.
  const bool below_root = mount->root != "/" && below.starts_with(mount->root) &&
                          (below.size() == mount->root.size() || below[mount->root.size()] == '/');
  if (below_root) below.remove_prefix(mount->root.size());
  const std::filesystem::path folder = point / std::filesystem::path(below).relative_path();
  std::error_code ignored;
  return std::filesystem::is_directory(folder, ignored) ? folder : point;
}

std::optional<CgroupUsage> combine(std::optional<std::uint64_t> cpu_micro, std::optional<std::uint64_t> memory,
                                   std::optional<std::uint64_t> inactive) {
  if (!cpu_micro || !memory || !inactive) return std::nullopt;
  // The two numbers are of different moments.
  return CgroupUsage{
      .cpu_micro = *cpu_micro, .memory_bytes = *memory, .working_set_bytes = *memory - std::min(*memory, *inactive)};
}

}  // namespace

std::optional<CgroupUsage> read_cgroup_usage(const std::filesystem::path& root) {
  const Hierarchies hierarchies(root);
  if (const auto folder = find_folder(root, hierarchies, "")) {
    const auto usage = combine(read_named(*folder / "cpu.stat", "usage_usec"), read_number(*folder / "memory.current"),
                               read_named(*folder / "memory.stat", "inactive_file"));
    // A hybrid system has version 2 mounted with no controller in it.
    if (usage) return usage;
  }
  const auto cpu = find_folder(root, hierarchies, "cpuacct");
  const auto memory = find_folder(root, hierarchies, "memory");
  if (!cpu || !memory) return std::nullopt;
  auto cpu_nano = read_number(*cpu / "cpuacct.usage");
  if (cpu_nano) *cpu_nano /= 1000;
  return combine(cpu_nano, read_number(*memory / "memory.usage_in_bytes"),
                 read_named(*memory / "memory.stat", "total_inactive_file"));
}

std::optional<std::uint64_t> count_oom_kills(const std::filesystem::path& root) {
  const Hierarchies hierarchies(root);
  if (const auto folder = find_folder(root, hierarchies, "")) {
    if (const auto count = read_named(*folder / "memory.events", "oom_kill")) return count;
  }
  const auto folder = find_folder(root, hierarchies, "memory");
  return folder ? read_named(*folder / "memory.oom_control", "oom_kill") : std::nullopt;
}

}  // namespace dstack::runner::metrics
