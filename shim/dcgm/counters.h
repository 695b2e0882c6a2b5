#pragma once

#include <string>

namespace dstack::shim::dcgm {

// What dcgm-exporter is to collect, in the form of its counters file: "<field>, <Prometheus type>, <help>".
std::string counters_file();

}  // namespace dstack::shim::dcgm
