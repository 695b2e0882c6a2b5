#include "common/os/cgroup2.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <format>

#include "common/error.h"
#include "common/os/file.h"
#include "common/os/mounts.h"
#include "common/os/unique_fd.h"

namespace dstack::os {

namespace {

// FILEID_KERNFS: a handle that is the file's id and nothing else.
constexpr int kKernfsHandle = 0xfe;

std::optional<std::string> nothing_unless_exhausted(const std::filesystem::path& path) {
  if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) throw os_error("look into", path.string());
  return std::nullopt;
}

}  // namespace

std::optional<Cgroup2> Cgroup2::find(const std::filesystem::path& mounts) {
  for (const Mount& mount : parse_mounts(try_read_file(mounts).value_or(""))) {
    if (mount.type == "cgroup2" && mount.root == "/") return Cgroup2(mount.mount_point);
  }
  return std::nullopt;
}

std::optional<std::string> Cgroup2::path_of(std::uint64_t id) const {
  alignas(file_handle) std::array<char, sizeof(file_handle) + sizeof id> space{};
  auto* handle = reinterpret_cast<file_handle*>(space.data());
  handle->handle_bytes = sizeof id;
  handle->handle_type = kKernfsHandle;
  std::memcpy(handle->f_handle, &id, sizeof id);

  const UniqueFd mount(::open(mount_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!mount) return nothing_unless_exhausted(mount_);
  const UniqueFd cgroup(::open_by_handle_at(mount.get(), handle, O_PATH | O_CLOEXEC));
  if (!cgroup) return nothing_unless_exhausted(mount_);
  std::array<char, PATH_MAX> target;
  const ssize_t length =
      ::readlink(std::format("/proc/self/fd/{}", cgroup.get()).c_str(), target.data(), target.size());
  if (length < 0) return nothing_unless_exhausted(mount_);
  const std::string_view path(target.data(), static_cast<std::size_t>(length));
  if (!path.starts_with(mount_.native())) return std::nullopt;
  const std::string_view inside = path.substr(mount_.native().size());
  return inside.empty() ? "/" : std::string(inside);
}

}  // namespace dstack::os
