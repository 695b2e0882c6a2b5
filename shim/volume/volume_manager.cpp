#include "shim/volume/volume_manager.h"

#include <format>

#include "common/error.h"

namespace dstack::shim::volume {

void NoVolumes::mount(const std::string&, const std::vector<VolumeInfo>& volumes, std::stop_token) {
  if (volumes.empty()) return;
  throw Error(ErrorKind::not_implemented, std::format("mount volume {} ({}): this version of dstack-shim cannot mount volumes",
                                                      printable(volumes.front().name), printable(volumes.front().backend)));
}

}  // namespace dstack::shim::volume
