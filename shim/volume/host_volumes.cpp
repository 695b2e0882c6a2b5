#include "shim/volume/host_volumes.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <chrono>
#include <exception>
#include <format>
#include <optional>
#include <ranges>

#include "common/error.h"
#include "common/os/file.h"
#include "common/os/mounts.h"
#include "shim/volume/device_naming.h"
#include "shim/volume/file_system.h"
#include "shim/volume/tool.h"

namespace dstack::shim::volume {

namespace {

// Replaying the journal of a large file system, writing out what is still in memory: nothing to give up on early.
constexpr std::chrono::minutes kMountLimit{5};
constexpr std::chrono::minutes kUnmountLimit{5};

// A name is one folder below ours.
void check_name(const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.contains('/') || name.contains('\0')) {
    throw Error(ErrorKind::invalid, std::format("invalid volume name: {}", printable(name)));
  }
}

bool device_is_gone(const os::Mount& mount) {
  struct stat status{};
  return ::stat(mount.source.c_str(), &status) != 0 && errno == ENOENT;
}

// The file system is new: whatever user a job runs as may write to it.
void open_to_all(const std::filesystem::path& target, dev_t device) {
  const os::UniqueFd root = os::open_file(target, O_RDONLY | O_DIRECTORY);
  struct stat status{};
  if (::fstat(root.get(), &status) != 0) throw os_error("look at", target.string());
  if (status.st_dev != device) {
    throw Error(ErrorKind::internal,
                std::format("set the mode of {}: something else is mounted there", target.string()));
  }
  if (::fchmod(root.get(), 0777) != 0) throw os_error("set the mode of", target.string());
}

}  // namespace

class HostVolumes::Turn {
 public:
  Turn(HostVolumes& all, const std::string& name, const std::stop_token& stop) : all_(all), name_(name) {
    const std::stop_callback wake(stop, [this] {
      const os::Lock lock(all_.mutex_);
      all_.changed_.notify_all();
    });
    os::Lock lock(all_.mutex_);
    all_.changed_.wait(lock.native(), [&]() DSTACK_REQUIRES(all_.mutex_) {
      return stop.stop_requested() || !all_.volumes_[name_].is_busy;
    });
    if (all_.volumes_[name_].is_busy) {
      // The lock must be free while `wake` is taken down.
      lock.unlock();
      throw Error(ErrorKind::cancelled, std::format("volume {}: cancelled", printable(name_)));
    }
    all_.volumes_[name_].is_busy = true;
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    const os::Lock lock(all_.mutex_);
    const auto found = all_.volumes_.find(name_);
    found->second.is_busy = false;
    if (found->second.holders.empty()) all_.volumes_.erase(found);
    all_.changed_.notify_all();
  }

  std::set<std::string> holders() const {
    const os::Lock lock(all_.mutex_);
    return all_.volumes_[name_].holders;
  }
  void add(const std::string& holder) {
    const os::Lock lock(all_.mutex_);
    all_.volumes_[name_].holders.insert(holder);
  }
  void remove(const std::string& holder) {
    const os::Lock lock(all_.mutex_);
    all_.volumes_[name_].holders.erase(holder);
  }

 private:
  HostVolumes& all_;
  const std::string name_;
};

void HostVolumes::mount(const std::string& holder, const std::vector<VolumeInfo>& volumes, std::stop_token stop) {
  for (const VolumeInfo& volume : volumes) {
    check_name(volume.name);
    Turn turn(*this, volume.name, stop);
    mount_one(turn, volume, stop);
    turn.add(holder);
  }
}

void HostVolumes::restore(const std::string& holder, const std::vector<VolumeInfo>& volumes) {
  const os::Lock lock(mutex_);
  for (const VolumeInfo& volume : volumes) volumes_[volume.name].holders.insert(holder);
}

void HostVolumes::unmount(const std::string& holder, const std::vector<VolumeInfo>& volumes, std::stop_token stop) {
  std::exception_ptr failure;
  for (const VolumeInfo& volume : volumes | std::views::reverse) {
    try {
      check_name(volume.name);
      Turn turn(*this, volume.name, stop);
      const std::set<std::string> holders = turn.holders();
      if (!holders.contains(holder)) continue;  // another device has this name, or it has been done before
      if (holders.size() == 1) unmount_one(folder_ / volume.name, stop);
      turn.remove(holder);
    } catch (const std::exception& error) {
      // A name that never was a folder holds nothing; the other volumes are wanted back in any case.
      if (error_kind(error) == ErrorKind::invalid) continue;
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

void HostVolumes::mount_one(const Turn& turn, const VolumeInfo& volume, const std::stop_token& stop) {
  const std::filesystem::path target = folder_ / volume.name;
  const BlockDevice device = BlockDevice::wait_for(find_device(volume, dev_, stop, clock_), stop, clock_);
  for (const os::Mount& present : os::mounts_at(target)) {
    if (os::is_of_device(present, device.number())) return;
    // What nobody holds and has lost its disk is a remainder.
    if (turn.holders().empty() && device_is_gone(present)) {
      unmount_one(target, stop);
      break;
    }
    throw Error(ErrorKind::conflict,
                std::format("mount volume {} ({}): another device, {}, is mounted under this name",
                            printable(volume.name), device.path().string(), printable(present.source)));
  }
  const bool is_new = ensure_file_system(device, volume.init_fs, stop, clock_);
  os::make_directories(target, 0755);
  mount_device(device, target, is_new, stop);
  spdlog::info("volume {}: {} is mounted on {}", printable(volume.name), device.path().string(), target.string());
}

void HostVolumes::mount_device(const BlockDevice& device, const std::filesystem::path& target, bool is_new,
                               const std::stop_token& stop) {
  const std::string attempt = std::format("mount {} on {}", device.path().string(), target.string());
  try {
    const auto result = run_tool({"mount", device.path().string(), target.string()}, kMountLimit, stop, clock_);
    if (!result.succeeded())
      throw Error(ErrorKind::unavailable, std::format("{}: mount {}", attempt, result.describe()));
    if (is_new) open_to_all(target, device.number());
  } catch (...) {
    // It may have come as far as that. Nobody holds it, so nobody else would undo it.
    try {
      if (!os::mounts_at(target).empty()) unmount_one(target, {});
    } catch (const std::exception& error) {
      spdlog::error("{}; undoing it failed too: {}", attempt, error.what());
    }
    throw;
  }
}

void HostVolumes::unmount_one(const std::filesystem::path& target, const std::stop_token& stop) {
  // Mounts at one place lie on top of each other.
  for (std::size_t left = os::mounts_at(target).size(); left > 0; --left) {
    const auto result = run_tool({"umount", target.string()}, kUnmountLimit, stop, clock_);
    if (os::mounts_at(target).size() >= left)
      throw Error(ErrorKind::unavailable, std::format("unmount {}: umount {}", target.string(), result.describe()));
    spdlog::info("{} is unmounted", target.string());
  }
}

}  // namespace dstack::shim::volume
