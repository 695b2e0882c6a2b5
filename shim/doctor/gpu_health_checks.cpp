#include "shim/doctor/gpu_health_checks.h"

#include <format>

namespace dstack::shim::doctor {

namespace {

void add(std::string& list, const std::string& entry) { list += (list.empty() ? "" : "; ") + entry; }

}  // namespace

Finding check_sick_gpus(const Host& host) {
  if (host.sick_gpus.empty()) return ok("none is set aside");
  std::string found;
  for (const auto& [id, reason] : host.sick_gpus) add(found, std::format("{}: {}", readable(id), readable(reason)));
  return warning(std::format("{} set aside: {}", host.sick_gpus.size(), found),
                 "no task gets it until the host is restarted; if it is well, `dstack-shim gpu ok ID`");
}

Finding check_gpu_heat(const Host& host) {
  if (host.hot_gpus.empty()) return ok("none is slowed down by heat");
  std::string found;
  for (const std::string& id : host.hot_gpus) add(found, readable(id));
  return warning(std::format("{} slowed down by heat: {}", host.hot_gpus.size(), found),
                 "look at fans, air flow and the room's temperature; `nvidia-smi -q -d TEMPERATURE,PERFORMANCE` shows "
                 "what the driver reports");
}

Finding check_gpu_memory(const Host& host) {
  if (host.outside_gpu_processes.empty()) return ok("no process outside of a container holds any");
  std::string found;
  for (const auto& [gpu, pid, name, memory] : host.outside_gpu_processes)
    add(found, std::format("{} MiB of {}: process {} ({})", memory, readable(gpu), pid, readable(name)));
  return warning("held outside of any container: " + found,
                 "jobs cannot have that memory: end the process, or leave the GPU out of what the host offers");
}

}  // namespace dstack::shim::doctor
