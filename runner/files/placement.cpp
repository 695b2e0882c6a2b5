#include "runner/files/placement.h"

#include <sys/stat.h>

#include <algorithm>
#include <format>
#include <string>
#include <string_view>
#include <system_error>

#include "common/error.h"
#include "common/files/archive.h"
#include "common/os/file.h"
#include "common/os/mounts.h"

namespace dstack::files {

namespace {

std::vector<std::filesystem::path> mount_points() {
  std::vector<std::filesystem::path> result;
  for (os::Mount& mount : os::parse_mounts(os::try_read_file("/proc/self/mountinfo").value_or("")))
    result.emplace_back(std::move(mount.mount_point));
  return result;
}

std::filesystem::path real_path(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::path real = std::filesystem::weakly_canonical(path, error);
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
  std::error_code error;
  if (std::filesystem::is_symlink(path, error)) {
    // Replacing a link takes nothing away that lies elsewhere. What is named by way of it would be gone.
    const auto is_place = [&](const std::filesystem::path& other) { return real_path(other) == real; };
    return real == "/" || std::ranges::any_of(mount_points(), is_place) ||
           std::ranges::any_of(kept, [&](const auto& other) { return is_within(other, path) || is_place(other); });
  }
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
      throw Error(ErrorKind::invalid,
                  std::format("{} is in use and not a folder: it cannot be replaced", path.string()));
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
  } catch (...) {
    // A bomb is not left to fill the disk.
    try {
      tree.remove_tree(destination.below);
    } catch (const std::exception&) {  // what failed first is reported
    }
    throw;
  }
}

}  // namespace dstack::files
