#include "shim/top/figures.h"

#include <array>
#include <format>

namespace dstack::shim::top {

std::string bytes_text(std::uint64_t bytes) {
  static constexpr std::array kUnits{"B", "K", "M", "G", "T", "P"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  // 1000 and not 1024, so that there are never more than three digits.
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return value < 100 && unit > 0 ? std::format("{:.1f}{}", value, kUnits[unit])
                                 : std::format("{:.0f}{}", value, kUnits[unit]);
}

std::string bytes_text(const std::optional<Memory>& memory) { return memory ? bytes_text(memory->used) : "-"; }

std::string memory_text(const std::optional<Memory>& memory) {
  return memory ? bytes_text(memory->used) + "/" + bytes_text(memory->total) : "-";
}

std::string percent_text(std::optional<double> percent) { return percent ? std::format("{:.0f}%", *percent) : "-"; }

std::string percent_text(std::optional<int> percent) { return percent ? std::format("{}%", *percent) : "-"; }

std::string temperature_text(std::optional<int> degrees) { return degrees ? std::format("{}C", *degrees) : "-"; }

std::string status_text(const client::TaskEntry& task) {
  if (task.status != "pulling" || !task.pull || task.pull->total <= 0) return task.status;
  const auto& pull = *task.pull;
  return std::format("pulling {}% {}/{}{}", pull.percent(), bytes_text(static_cast<std::uint64_t>(pull.downloaded)),
                     bytes_text(static_cast<std::uint64_t>(pull.total)), pull.total_is_final ? "" : "+");
}

double share(const Memory& memory) {
  return memory.total > 0 ? static_cast<double>(memory.used) / static_cast<double>(memory.total) : 0;
}

}  // namespace dstack::shim::top
