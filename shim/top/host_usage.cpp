#include "shim/top/host_usage.h"

#include <sys/statvfs.h>

#include <string_view>
#include <vector>

#include "common/os/file.h"
#include "common/text/number.h"
#include "common/text/split.h"

namespace dstack::shim::top {

namespace {

// "MemTotal:  65536 kB" as bytes.
std::optional<std::uint64_t> kibibytes(const std::vector<std::string_view>& words) {
  if (words.size() < 2) return std::nullopt;
  const auto number = text::parse_number<std::uint64_t>(words[1]);
  return number ? std::optional(*number << 10) : std::nullopt;
}

}  // namespace

std::optional<CpuTicks> read_cpu_ticks(const std::filesystem::path& root) {
  const auto file = os::try_read_file(root / "proc/stat");
  if (!file) return std::nullopt;
  std::string_view rest = *file;
  // "cpu user nice system idle iowait irq softirq steal guest guest_nice"; guest time is in user time already.
  const auto words = text::split_words(text::take_line(rest));
  if (words.size() < 6 || words[0] != "cpu") return std::nullopt;
  constexpr std::size_t kIdle = 4;
  constexpr std::size_t kIoWait = 5;
  constexpr std::size_t kSteal = 8;
  CpuTicks ticks;
  for (std::size_t i = 1; i < words.size() && i <= kSteal; ++i) {
    const auto number = text::parse_number<std::uint64_t>(words[i]);
    if (!number) return std::nullopt;
    ticks.total += *number;
    if (i != kIdle && i != kIoWait) ticks.busy += *number;
  }
  return ticks;
}

std::optional<Memory> read_memory(const std::filesystem::path& root) {
  const auto file = os::try_read_file(root / "proc/meminfo");
  if (!file) return std::nullopt;
  std::optional<std::uint64_t> total;
  std::optional<std::uint64_t> available;
  for (std::string_view rest = *file; !rest.empty();) {
    const auto words = text::split_words(text::take_line(rest));
    if (words.empty()) continue;
    if (words[0] == "MemTotal:") total = kibibytes(words);
    if (words[0] == "MemAvailable:") available = kibibytes(words);
  }
  if (!total || !available || *available > *total) return std::nullopt;
  return Memory{.used = *total - *available, .total = *total};
}

std::optional<Memory> read_disk(const std::filesystem::path& folder) {
  struct statvfs disk{};
  if (::statvfs(folder.c_str(), &disk) != 0) return std::nullopt;
  const std::uint64_t total = static_cast<std::uint64_t>(disk.f_blocks) * disk.f_frsize;
  // As `df` has it: what root alone may use counts as used.
  const std::uint64_t free = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  return Memory{.used = total - std::min(total, free), .total = total};
}

std::optional<double> cpu_percent(const CpuTicks& before, const CpuTicks& now) {
  if (now.total <= before.total || now.busy < before.busy) return std::nullopt;
  return 100.0 * static_cast<double>(now.busy - before.busy) / static_cast<double>(now.total - before.total);
}

}  // namespace dstack::shim::top
