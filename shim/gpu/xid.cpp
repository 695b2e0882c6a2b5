#include "shim/gpu/xid.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/text/number.h"
#include "common/text/split.h"

namespace dstack::shim::gpu {

namespace {

// Of a record's first number: the lower three bits are the level, what is above them says who wrote it.
constexpr unsigned kFacilityShift = 3;

constexpr std::array<std::pair<int, std::string_view>, 7> kSicknesses{{
    {48, "double bit ECC error"},
    {64, "row remapping failed"},
    {74, "NVLink error"},
    {79, "fallen off the bus"},
    {95, "uncontained memory error"},
    {119, "GSP does not answer"},
    {120, "GSP error"},
}};

}  // namespace

std::optional<KernelRecord> parse_kernel_record(std::string_view line) {
  const std::size_t end = line.find(';');
  if (end == std::string_view::npos) return std::nullopt;
  const auto fields = text::split(line.substr(0, end), ',');
  if (fields.size() < 3) return std::nullopt;
  const auto priority = text::parse_number<unsigned>(fields[0]);
  const auto number = text::parse_number<std::uint64_t>(fields[1]);
  if (!priority || !number) return std::nullopt;
  return KernelRecord{
      .number = *number, .is_kernels = (*priority >> kFacilityShift) == 0, .text = line.substr(end + 1)};
}

std::optional<Xid> parse_xid(std::string_view text) {
  constexpr std::string_view kBegin = "NVRM: Xid (PCI:";
  const std::size_t begin = text.find(kBegin);
  if (begin == std::string_view::npos) return std::nullopt;
  text.remove_prefix(begin + kBegin.size());
  const std::size_t end = text.find("): ");
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view rest = text.substr(end + 3);
  const auto number = text::parse_number<int>(rest.substr(0, rest.find(',')));
  if (!number) return std::nullopt;
  return Xid{.bus_id = std::string(text.substr(0, end)), .number = *number};
}

std::optional<std::string_view> sickness_of_xid(int number) {
  const auto found = std::ranges::find(kSicknesses, number, &std::pair<int, std::string_view>::first);
  return found == kSicknesses.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace dstack::shim::gpu
