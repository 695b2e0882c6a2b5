#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "shim/top/snapshot.h"

// Figures as a person reads them; a missing one is "-".
namespace dstack::shim::top {

// "512M", "63.1G": binary units, three digits.
std::string bytes_text(std::uint64_t bytes);
std::string bytes_text(const std::optional<Memory>& memory);   // what is used
std::string memory_text(const std::optional<Memory>& memory);  // "63.1G/79.6G"
std::string percent_text(std::optional<double> percent);       // "87%"
std::string percent_text(std::optional<int> percent);
std::string temperature_text(std::optional<int> degrees);  // "64C"

// A pull's progress as "45% 1.2G/2.7G", or the status.
std::string status_text(const client::TaskEntry& task);

double share(const Memory& memory);  // used of total, 0 to 1

}  // namespace dstack::shim::top
