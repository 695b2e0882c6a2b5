#include "shim/doctor/check.h"

#include <algorithm>

#include "common/error.h"
#include "shim/doctor/capability_check.h"
#include "shim/doctor/download_check.h"
#include "shim/doctor/drain_check.h"
#include "shim/doctor/engine_checks.h"
#include "shim/doctor/gpu_checks.h"
#include "shim/doctor/gpu_health_checks.h"
#include "shim/doctor/home_check.h"
#include "shim/doctor/image_check.h"
#include "shim/doctor/kernel_checks.h"
#include "shim/doctor/leftover_checks.h"
#include "shim/doctor/peer_check.h"
#include "shim/doctor/port_checks.h"
#include "shim/doctor/system_checks.h"

namespace dstack::shim::doctor {

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok: return "ok";
    case Verdict::warning: return "warning";
    case Verdict::broken: break;
  }
  return "broken";
}

Finding ok(std::string found) { return {.verdict = Verdict::ok, .found = std::move(found), .remedy = {}}; }

Finding warning(std::string found, std::string remedy) {
  return {.verdict = Verdict::warning, .found = std::move(found), .remedy = std::move(remedy)};
}

Finding broken(std::string found, std::string remedy) {
  return {.verdict = Verdict::broken, .found = std::move(found), .remedy = std::move(remedy)};
}

std::string readable(std::string_view name) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("._-+/:").contains(c);
  };
  return !name.empty() && name.size() <= 200 && std::ranges::all_of(name, plain) ? std::string(name) : printable(name);
}

std::vector<Check> all_checks() {
  return {
      {"docker", check_docker},
      {"engine-mode", check_engine_mode},
      {"live-restore", check_live_restore},
      {"cgroups", check_cgroups},
      {"home", check_home},
      {"disk", check_disk},
      {"gpu", check_gpu},
      {"container-toolkit", check_container_toolkit},
      {"sick-gpus", check_sick_gpus},
      {"gpu-heat", check_gpu_heat},
      {"gpu-memory", check_gpu_memory},
      {"shim-port", check_shim_port},
      {"runner-ports", check_runner_ports},
      {"runner", check_runner},
      {"capabilities", check_capabilities},
      {"peer-look-up", check_peer_look_up},
      {"drained", check_drain},
      {"tools", check_tools},
      {"unpigz", check_unpigz},
      {"downloads", check_downloads},
      {"noexec", check_noexec},
      {"limits", check_limits},
      {"network", check_network},
      {"clock", check_clock},
      {"images", check_images},
      {"containers", check_containers},
      {"folders", check_folders},
      {"volumes", check_volumes},
  };
}

}  // namespace dstack::shim::doctor
