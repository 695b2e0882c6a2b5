#include "shim/host/host_info.h"

#include <nlohmann/json.hpp>

#include "common/json/dump.h"
#include "common/os/file.h"

namespace dstack::shim::host {

void write_host_info(const std::filesystem::path& home, const Resources& resources, const GpuSummary& gpus) {
  const std::filesystem::path path = home / "host_info.json";
  if (std::filesystem::exists(std::filesystem::symlink_status(path))) return;
  const nlohmann::json info = {{"gpu_vendor", gpus.vendor},        {"gpu_name", gpus.name},
                               {"gpu_memory", gpus.memory},        {"gpu_count", gpus.count},
                               {"addresses", resources.addresses}, {"disk_size", resources.disk_size},
                               {"cpus", resources.cpus},           {"memory", resources.memory}};
  os::write_file_atomic(path, dstack::json::dump(info), 0644);
}

}  // namespace dstack::shim::host
