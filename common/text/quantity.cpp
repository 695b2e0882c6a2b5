#include "common/text/quantity.h"

#include <algorithm>
#include <array>
#include <limits>
#include <span>

#include "common/text/number.h"

namespace dstack::text {

namespace {

struct Unit {
  char letter;
  std::uint64_t factor;
};

std::optional<std::uint64_t> parse_quantity(std::string_view text, std::span<const Unit> units) {
  if (text.empty()) return std::nullopt;
  const auto unit = std::ranges::find(units, text.back(), &Unit::letter);
  const auto number = parse_number<std::uint64_t>(text.substr(0, text.size() - 1));
  if (unit == units.end() || !number) return std::nullopt;
  if (*number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / unit->factor)
    return std::nullopt;
  return *number * unit->factor;
}

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text) {
  constexpr std::array kUnits{Unit{'K', 1ULL << 10}, Unit{'M', 1ULL << 20}, Unit{'G', 1ULL << 30},
                              Unit{'T', 1ULL << 40}};
  return parse_quantity(text, kUnits);
}

std::optional<std::chrono::seconds> parse_duration(std::string_view text) {
  constexpr std::array kUnits{Unit{'s', 1}, Unit{'m', 60}, Unit{'h', 3600}, Unit{'d', 86400}, Unit{'w', 604800}};
  const auto seconds = parse_quantity(text, kUnits);
  if (!seconds) return std::nullopt;
  return std::chrono::seconds(static_cast<std::int64_t>(*seconds));
}

}  // namespace dstack::text
