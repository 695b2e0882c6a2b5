#include "runner/metrics/cgroup.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <system_error>

#include "common/os/file.h"

namespace dstack::runner::metrics {

namespace {

std::string_view next_word(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
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
    std::string_view line = next_word(rest, '\n');
    if (next_word(line, ' ') == name) return parse_number(line);
  }
  return std::nullopt;
}

bool lists(std::string_view list, std::string_view item) {
  while (!list.empty()) {
    if (next_word(list, ',') == item) return true;
  }
  return false;
}

// In /proc/self/mountinfo a path's blanks and backslashes are octal: "\040".
std::string unescaped(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view digits = text.substr(std::min(i + 1, text.size()), 3);
    const bool escape = text[i] == '\\' && digits.size() == 3 &&
                        std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '7'; });
    if (escape) {
      result += static_cast<char>((digits[0] - '0') * 64 + (digits[1] - '0') * 8 + (digits[2] - '0'));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

struct Mount {
  std::string root;  // which group the mount point shows
  std::string point;
};

// Where the hierarchy with `controller` is mounted; an empty one means version 2.
std::optional<Mount> find_mount(const std::filesystem::path& root, std::string_view controller) {
  const auto text = os::try_read_file(root / "proc/self/mountinfo");
  if (!text) return std::nullopt;
  for (std::string_view rest = *text; !rest.empty();) {
    // "id parent device root point options [tags] - type source superoptions"
    std::string_view line = next_word(rest, '\n');
    for (int skipped = 0; skipped < 3; ++skipped) next_word(line, ' ');
    const std::string_view shown = next_word(line, ' ');
    const std::string_view point = next_word(line, ' ');
    while (!line.empty() && next_word(line, ' ') != "-") continue;
    const std::string_view type = next_word(line, ' ');
    next_word(line, ' ');
    const bool wanted =
        controller.empty() ? type == "cgroup2" : type == "cgroup" && lists(next_word(line, ' '), controller);
    if (wanted) return Mount{.root = unescaped(shown), .point = unescaped(point)};
  }
  return std::nullopt;
}

// The group's path in that hierarchy.
std::optional<std::string> find_group(const std::filesystem::path& root, std::string_view controller) {
  const auto text = os::try_read_file(root / "proc/self/cgroup");
  if (!text) return std::nullopt;
  for (std::string_view rest = *text; !rest.empty();) {
    std::string_view line = next_word(rest, '\n');  // "number:controllers:path"
    const std::string_view number = next_word(line, ':');
    const std::string_view controllers = next_word(line, ':');
    if (controller.empty() ? number == "0" && controllers.empty() : lists(controllers, controller))
      return std::string(line);
  }
  return std::nullopt;
}

// The folder with the group's files.
std::optional<std::filesystem::path> find_folder(const std::filesystem::path& root, std::string_view controller) {
  const auto mount = find_mount(root, controller);
  const auto group = find_group(root, controller);
  if (!mount || !group) return std::nullopt;
  const std::filesystem::path point = root / std::filesystem::path(mount->point).relative_path();
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
  if (const auto folder = find_folder(root, "")) {
    const auto usage = combine(read_named(*folder / "cpu.stat", "usage_usec"), read_number(*folder / "memory.current"),
                               read_named(*folder / "memory.stat", "inactive_file"));
    // A hybrid system has version 2 mounted with no controller in it.
    if (usage) return usage;
  }
  const auto cpu = find_folder(root, "cpuacct");
  const auto memory = find_folder(root, "memory");
  if (!cpu || !memory) return std::nullopt;
  auto cpu_nano = read_number(*cpu / "cpuacct.usage");
  if (cpu_nano) *cpu_nano /= 1000;
  return combine(cpu_nano, read_number(*memory / "memory.usage_in_bytes"),
                 read_named(*memory / "memory.stat", "total_inactive_file"));
}

std::optional<std::uint64_t> count_oom_kills(const std::filesystem::path& root) {
  if (const auto folder = find_folder(root, "")) {
    if (const auto count = read_named(*folder / "memory.events", "oom_kill")) return count;
  }
  const auto folder = find_folder(root, "memory");
  return folder ? read_named(*folder / "memory.oom_control", "oom_kill") : std::nullopt;
}

}  // namespace dstack::runner::metrics
