#include "shim/gpu/gpu_pool.h"

#include <format>

#include "common/error.h"

namespace dstack::shim::gpu {

std::vector<std::string> NoGpus::take(std::int64_t count) {
  if (count <= 0) return {};
  throw Error(ErrorKind::conflict, std::format("not enough GPUs: {} wanted, none found on this host", count));
}

}  // namespace dstack::shim::gpu
