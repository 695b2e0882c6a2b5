#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "shim/dcgm/exporter.h"
#include "shim/dcgm/health.h"
#include "shim/dcgm/helper.h"

namespace dstack::shim::dcgm {

struct ServiceSettings {
  std::filesystem::path home;  // of the shim
  int exporter_port = 10997;
  std::chrono::milliseconds exporter_interval{5000};
  std::string address;                                            // of a host engine; empty: one of our own
  std::function<void(const std::string& uuid)> on_lost_gpu = {};  // as Health has it
};

// What watches over NVIDIA's GPUs on this host.
struct Services {
  std::unique_ptr<HelperProgram> helper;  // what `health` starts, so it outlives that
  std::unique_ptr<Exporter> exporter;     // nothing without dcgm-exporter
  std::unique_ptr<Health> health;         // nothing on a host without NVIDIA's device nodes
};

// Starts them on a host with NVIDIA's device nodes; does nothing on any other. Never throws: what does not work is
// logged.
Services start_services(const ServiceSettings& settings);

}  // namespace dstack::shim::dcgm
