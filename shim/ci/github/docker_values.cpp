#include "shim/ci/github/docker_values.h"

#include <array>
#include <cstdlib>
#include <string>
#include <utility>

#include "common/text/letter_case.h"

namespace dstack::shim::ci::github {

namespace {

// Takes digits with at most one point from the beginning of `text`.
std::optional<double> take_decimal(std::string_view& text) {
  const std::string digits(text.substr(0, text.find_first_not_of("0123456789.")));
  char* end = nullptr;
  const double number = std::strtod(digits.c_str(), &end);
  if (end == digits.c_str() || *end != '\0') return std::nullopt;
  text.remove_prefix(digits.size());
  return number;
}

}  // namespace

std::optional<double> parse_docker_decimal(std::string_view text) {
  const auto number = take_decimal(text);
  return text.empty() ? number : std::nullopt;
}

std::optional<std::uint64_t> parse_docker_size(std::string_view text) {
  constexpr double kLargest = 9e18;
  const auto number = take_decimal(text);
  if (!number) return std::nullopt;
  std::string unit = text::lower_case(text);
  if (unit.size() > 1 && unit.ends_with('b')) unit.pop_back();
  if (unit.size() > 1 && unit.ends_with('i')) unit.pop_back();
  constexpr std::string_view kUnits = "kmgtp";
  double factor = 1;
  if (!unit.empty() && unit != "b") {
    const std::size_t power = unit.size() == 1 ? kUnits.find(unit.front()) : std::string_view::npos;
    if (power == std::string_view::npos) return std::nullopt;
    for (std::size_t i = 0; i <= power; ++i) factor *= 1024;
  }
  const double bytes = *number * factor;
  return bytes < kLargest ? std::optional(static_cast<std::uint64_t>(bytes)) : std::nullopt;
}

std::optional<double> parse_docker_duration(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 7> kUnits{
      {{"ns", 1e-9}, {"us", 1e-6}, {"µs", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}}};
  if (text == "0") return 0;
  if (text.empty()) return std::nullopt;
  double seconds = 0;
  while (!text.empty()) {
    const auto number = take_decimal(text);
    if (!number) return std::nullopt;
    const std::string_view unit = text.substr(0, text.find_first_of("0123456789."));
    double factor = 0;
    for (const auto& [name, length] : kUnits) {
      if (name == unit) factor = length;
    }
    if (factor == 0) return std::nullopt;
    seconds += *number * factor;
    text.remove_prefix(unit.size());
  }
  return seconds;
}

}  // namespace dstack::shim::ci::github
