#include "shim/doctor/sick_gpu_check.h"

#include <format>

namespace dstack::shim::doctor {

Finding check_sick_gpus(const Host& host) {
  if (host.sick_gpus.empty()) return ok("none is set aside");
  std::string found;
  for (const auto& [id, reason] : host.sick_gpus)
    found += std::format("{}{}: {}", found.empty() ? "" : "; ", readable(id), readable(reason));
  return warning(std::format("{} set aside: {}", host.sick_gpus.size(), found),
                 "no task gets it until the host is restarted; if it is well, `dstack-shim gpu ok ID`");
}

}  // namespace dstack::shim::doctor
