#pragma once

#include <filesystem>

#include "shim/metrics/exposition.h"

namespace dstack::shim::metrics {

// The process_… metrics that Prometheus' own clients have, of this process. What cannot be read is left out.
void write_process(Exposition& exposition, const std::filesystem::path& proc = "/proc");

}  // namespace dstack::shim::metrics
