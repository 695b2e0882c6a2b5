#include "shim/dcgm/services.h"

#include <spdlog/spdlog.h>

#include "common/error.h"
#include "common/gpu/vendor.h"
#include "common/os/child.h"

namespace dstack::shim::dcgm {

namespace {

// This program, also when its file has been replaced since.
std::unique_ptr<Exporter> start_exporter(const ServiceSettings& settings) {
  const auto program = os::find_program("dcgm-exporter");
  if (!program) {
    spdlog::info("dcgm-exporter is not installed: there are no GPU metrics");
    return nullptr;
  }
  return std::make_unique<Exporter>(ExporterSettings{.command = {*program},
                                                     .port = settings.exporter_port,
                                                     .interval = settings.exporter_interval,
                                                     .counters_path = settings.home / "dcgm-counters.csv"});
}

}  // namespace

Services start_services(const ServiceSettings& settings) {
  Services services;
  // Health is of most interest when the GPUs cannot be listed any more, so what counts is that there should be some.
  if (dstack::gpu::detect_vendor() != dstack::gpu::Vendor::nvidia) return services;
  try {
    services.exporter = start_exporter(settings);
    services.helper = std::make_unique<HelperProgram>();
    services.health = std::make_unique<Health>(services.helper->command(settings.address), os::system_clock(),
                                               HealthLimits{}, settings.on_lost_gpu);
  } catch (const std::exception& error) {
    spdlog::error("DCGM: {}", error.what());
  }
  return services;
}

}  // namespace dstack::shim::dcgm
