#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dstack::shim::dcgm {

// Of dcgm-exporter's text the samples that name one of these GPUs, each metric with its HELP and TYPE.
std::string metrics_of(std::string_view text, const std::vector<std::string>& uuids);

}  // namespace dstack::shim::dcgm
