#pragma once

#include <condition_variable>
#include <filesystem>
#include <map>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "common/os/clock.h"
#include "common/os/mutex.h"
#include "shim/volume/block_device.h"
#include "shim/volume/volume_manager.h"

namespace dstack::shim::volume {

// Network disks of the clouds, mounted below `folder`. Who holds which volume is kept in memory only: the tasks'
// journals know it too, and restore() brings it back. What is mounted is asked of the kernel every time.
//
// One thing at a time happens to one volume; volumes do not wait for each other.
class HostVolumes final : public VolumeManager {
 public:
  explicit HostVolumes(os::Clock& clock = os::system_clock(), std::filesystem::path folder = kVolumesFolder,
                       std::filesystem::path dev = "/dev")
      : clock_(clock), folder_(std::move(folder)), dev_(std::move(dev)) {}

  // Error: conflict if another device is mounted under a volume's name; and as find_device and ensure_file_system.
  void mount(const std::string& holder, const std::vector<VolumeInfo>& volumes, std::stop_token stop) override;
  void restore(const std::string& holder, const std::vector<VolumeInfo>& volumes) override;
  void unmount(const std::string& holder, const std::vector<VolumeInfo>& volumes, std::stop_token stop) override;

 private:
  // One volume in the hands of one thread, from its construction to its end.
  class Turn;
  struct Volume {
    std::set<std::string> holders;
    bool is_busy = false;
  };

  void mount_one(const Turn& turn, const VolumeInfo& volume, const std::stop_token& stop);
  void mount_device(const BlockDevice& device, const std::filesystem::path& target, bool is_new,
                    const std::stop_token& stop);
  void unmount_one(const std::filesystem::path& target, const std::stop_token& stop);

  os::Clock& clock_;
  const std::filesystem::path folder_;
  const std::filesystem::path dev_;

  os::Mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Volume> volumes_ DSTACK_GUARDED_BY(mutex_);  // by name
};

}  // namespace dstack::shim::volume
