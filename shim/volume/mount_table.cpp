#include "shim/volume/mount_table.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <charconv>
#include <optional>

#include "common/os/file.h"
#include "shim/volume/tool.h"

namespace dstack::shim::volume {

namespace {

bool is_octal(char c) { return c >= '0' && c <= '7'; }

// Blanks and backslashes are written as \040 in the table.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// "259:1"
std::optional<dev_t> parse_number(std::string_view text) {
  unsigned major_number = 0;
  unsigned minor_number = 0;
  const char* const end = text.data() + text.size();
  const auto [colon, error] = std::from_chars(text.data(), end, major_number);
  if (error != std::errc() || colon == end || *colon != ':') return std::nullopt;
  const auto [last, minor_error] = std::from_chars(colon + 1, end, minor_number);
  if (minor_error != std::errc() || last != end) return std::nullopt;
  return makedev(major_number, minor_number);
}

}  // namespace

std::vector<Mount> parse_mount_table(std::string_view mountinfo) {
  std::vector<Mount> mounts;
  while (!mountinfo.empty()) {
    // id parent major:minor root mount-point options [optional…] - type source options
    const auto words = words_of(next_line(mountinfo));
    std::size_t separator = 6;
    while (separator < words.size() && words[separator] != "-") ++separator;
    if (separator + 2 >= words.size()) continue;
    const auto number = parse_number(words[2]);
    if (!number) continue;
    mounts.push_back({.mount_point = unescape(words[4]), .source = unescape(words[separator + 2]), .number = *number});
  }
  return mounts;
}

std::vector<Mount> mounts_at(const std::filesystem::path& path) {
  std::vector<Mount> mounts = parse_mount_table(os::read_file("/proc/self/mountinfo"));
  std::error_code error;
  std::filesystem::path real = std::filesystem::weakly_canonical(path, error);
  if (error) real = path;
  std::erase_if(mounts, [&real](const Mount& mount) { return mount.mount_point != real.string(); });
  return mounts;
}

bool is_of_device(const Mount& mount, dev_t number) {
  struct stat status{};
  if (::stat(mount.source.c_str(), &status) == 0 && S_ISBLK(status.st_mode)) return status.st_rdev == number;
  return mount.number == number;
}

}  // namespace dstack::shim::volume
