#include "common/os/mounts.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <optional>
#include <system_error>

#include "common/os/file.h"
#include "common/text/number.h"
#include "common/text/octal_escapes.h"
#include "common/text/split.h"

namespace dstack::os {

namespace {

// "259:1"
std::optional<dev_t> parse_device(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto major_number = text::parse_number<unsigned>(text.substr(0, colon));
  const auto minor_number = text::parse_number<unsigned>(text.substr(colon + 1));
  if (!major_number || !minor_number) return std::nullopt;
  return makedev(*major_number, *minor_number);
}

// id parent major:minor root mount-point options [optional…] - type source options
std::optional<Mount> parse_mount(std::string_view line) {
  const auto fields = text::split(line, ' ');
  if (fields.size() < 6) return std::nullopt;
  const auto separator = std::find(fields.begin() + 6, fields.end(), "-");
  if (fields.end() - separator < 3) return std::nullopt;
  const auto number = parse_device(fields[2]);
  if (!number) return std::nullopt;
  return Mount{.mount_point = text::unescape_octal(fields[4]),
               .source = text::unescape_octal(separator[2]),
               .number = *number,
               .root = text::unescape_octal(fields[3]),
               .type = std::string(separator[1]),
               .flags = std::string(fields[5]),
               .options = fields.end() - separator > 3 ? text::unescape_octal(separator[3]) : ""};
}

}  // namespace

std::vector<Mount> parse_mounts(std::string_view mountinfo) {
  std::vector<Mount> mounts;
  while (!mountinfo.empty()) {
    // The kernel escapes no CR, so a line's end is LF alone.
    if (auto mount = parse_mount(text::take_until(mountinfo, '\n'))) mounts.push_back(std::move(*mount));
  }
  return mounts;
}

std::vector<Mount> read_mounts(const std::filesystem::path& mountinfo) { return parse_mounts(read_file(mountinfo)); }

std::vector<Mount> mounts_at(const std::filesystem::path& path) {
  std::vector<Mount> mounts = read_mounts();
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

}  // namespace dstack::os
