#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/json/fields.h"

namespace dstack::shim::volume {

// Where volumes are mounted, each in a folder of its name.
inline constexpr const char* kVolumesFolder = "/mnt/disks/dstack-volumes";

struct VolumeInfo {
  std::string backend;
  std::string name;
  std::string volume_id;
  bool init_fs = false;
  std::optional<std::string> device_name;
};

template <dstack::json::RecordOf<VolumeInfo> Record>
void visit_fields(Record& volume, auto&& field) {
  field("backend", volume.backend);
  field("name", volume.name);
  field("volume_id", volume.volume_id);
  field("init_fs", volume.init_fs);
  field("device_name", volume.device_name);
}

// Mounts the volumes of tasks. A volume that several tasks use is mounted once and unmounted with the last of them.
// All members may be called from any thread and block.
class VolumeManager {
 public:
  virtual ~VolumeManager() = default;

  // Throws Error; what was mounted by then is given back by unmount().
  virtual void mount(const std::string& holder, const std::vector<VolumeInfo>& volumes, std::stop_token stop) = 0;
  // After a restart: this holder may have mounted these.
  virtual void restore(const std::string& holder, const std::vector<VolumeInfo>& volumes) = 0;
  // Idempotent. Throws Error if one is still mounted.
  virtual void unmount(const std::string& holder, const std::vector<VolumeInfo>& volumes, std::stop_token stop) = 0;
};

}  // namespace dstack::shim::volume
