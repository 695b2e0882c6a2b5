#include "shim/volume/device_naming.h"

#include <format>

#include "common/error.h"
#include "shim/volume/aws_naming.h"
#include "shim/volume/gcp_naming.h"

namespace dstack::shim::volume {

std::filesystem::path find_device(const VolumeInfo& volume, const std::filesystem::path& dev,
                                  const std::stop_token& stop, os::Clock& clock) {
  if (volume.backend == "aws") return find_aws_device(volume, dev, stop, clock);
  if (volume.backend == "gcp") return find_gcp_device(volume, dev, stop, clock);
  throw Error(ErrorKind::invalid, std::format("volume {}: backend {} has no volumes that dstack-shim can mount",
                                              printable(volume.name), printable(volume.backend)));
}

}  // namespace dstack::shim::volume
