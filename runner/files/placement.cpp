#include "runner/files/placement.h"

#include <sys/stat.h>

#include <algorithm>
#include <format>
#include <string>
#include <string_view>
#include <system_error>

#include "common/error.h"
#include "common/os/file.h"
#include "runner/files/archive.h"

namespace dstack::runner::files {

namespace {

// mountinfo escapes blanks, tabs, line ends and backslashes: \040.
std::string unescape(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool octal = text[i] == '\\' && i + 3 < text.size() &&
                       std::ranges::all_of(text.substr(i + 1, 3), [](char c) { return c >= '0' && c <= '7'; });
    if (!octal) {
      result += text[i];
      continue;
    }
    result += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
    i += 3;
  }
  return result;
}

std::vector<std::filesystem::path> mount_points() {
  std::vector<std::filesystem::path> result;
  const std::string text = os::try_read_file("/proc/self/mountinfo").value_or("");
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    std::string_view line = std::string_view(text).substr(start, end - start);
    start = end + 1;
    // 36 35 98:0 /root/in/its/file/system /mount/point rw,noatime …
    for (int field = 0; field < 4 && !line.empty(); ++field) {
      line.remove_prefix(std::min(line.find(' '), line.size() - 1) + 1);
    }
    if (!line.empty()) result.emplace_back(unescape(line.substr(0, line.find(' '))));
  }
  return result;
}

std::filesystem::path real_path(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::path real = std::filesystem::weakly_canonical(path, error);
  return error ? path : real;
}

bool is_folder(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

}  // namespace

bool is_within(const std::filesystem::path& inner, const std::filesystem::path& outer) {
  const auto [at, end] = std::ranges::mismatch(outer, inner);
  return at == outer.end() || (at->empty() && std::next(at) == outer.end());
}

bool must_stay(const std::filesystem::path& path, const std::vector<std::filesystem::path>& kept) {
  const std::filesystem::path real = real_path(path);
  const auto is_above = [&](const std::filesystem::path& other) {
    return is_within(other, path) || is_within(real_path(other), real);
  };
  return std::ranges::any_of(kept, is_above) || std::ranges::any_of(mount_points(), is_above);
}

void place_archive(const std::filesystem::path& archive, const Destination& destination,
                   const std::vector<std::filesystem::path>& kept, const std::optional<Owner>& owner,
                   const std::function<bool()>& stopped) {
  const std::filesystem::path path = destination.path();
  Unpacking how{.layout = Layout::one_root, .place = destination.below, .stopped = stopped};
  if (must_stay(path, kept)) {
    if (!is_folder(path)) {
      throw Error(ErrorKind::invalid, std::format("{} is in use and no folder, it cannot be replaced", path.string()));
    }
    // A link of the image's own that leads to such a folder is the folder.
    if (!destination.foreign) how.place.clear();
    Tree tree(destination.foreign ? destination.folder : path, owner);
    return unpack(archive, tree, how);
  }
  Tree tree(destination.folder, owner);
  tree.remove_tree(destination.below);
  try {
    unpack(archive, tree, how);
  } catch (const Error&) {
    // A bomb is not left to fill the disk.
    try {
      tree.remove_tree(destination.below);
    } catch (const Error&) {
    }
    throw;
  }
}

}  // namespace dstack::runner::files
