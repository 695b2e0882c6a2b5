#include "shim/metrics/process.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "common/os/directory.h"
#include "common/os/file.h"
#include "common/text/number.h"
#include "common/text/split.h"

namespace dstack::shim::metrics {

namespace {

struct Status {
  double cpu_seconds = 0;
  double start_seconds = 0;  // after the machine's
  double virtual_bytes = 0;
  double resident_bytes = 0;
};

// Fields are numbered as in proc_pid_stat(5), from 1. The name in brackets may hold anything.
std::optional<Status> parse_status(const std::string& stat) {
  const std::size_t bracket = stat.rfind(')');
  if (bracket == std::string::npos) return std::nullopt;
  const auto words = text::split_words(std::string_view(stat).substr(bracket + 1));
  if (words.size() < 22) return std::nullopt;
  const auto field = [&words](std::size_t number) {
    return static_cast<double>(text::parse_number<std::int64_t>(words[number - 3]).value_or(0));
  };
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  return Status{.cpu_seconds = (field(14) + field(15)) / ticks,
                .start_seconds = field(22) / ticks,
                .virtual_bytes = field(23),
                .resident_bytes = field(24) * static_cast<double>(::sysconf(_SC_PAGESIZE))};
}

// When the machine started, in seconds since 1970.
std::optional<double> boot_time(const std::filesystem::path& proc) {
  const std::string text = os::try_read_file(proc / "stat").value_or("");
  for (std::string_view line : text::split_lines(text)) {
    if (text::take_until(line, ' ') != "btime") continue;
    const auto seconds = text::parse_number<std::int64_t>(line);
    return seconds ? std::optional(static_cast<double>(*seconds)) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<double> count_descriptors(const std::filesystem::path& proc) {
  const os::Listing descriptors = os::list_directory(proc / "self/fd");
  if (descriptors.failure) return std::nullopt;
  // Less the one that lists them.
  return static_cast<double>(descriptors.names.size()) - 1;
}

}  // namespace

void write_process(Exposition& exposition, const std::filesystem::path& proc) {
  if (const auto status = parse_status(os::try_read_file(proc / "self/stat").value_or(""))) {
    exposition.single("process_resident_memory_bytes", "gauge", "Resident memory.", status->resident_bytes);
    exposition.single("process_virtual_memory_bytes", "gauge", "Virtual memory.", status->virtual_bytes);
    exposition.single("process_cpu_seconds_total", "counter", "User and system CPU time.", status->cpu_seconds);
    if (const auto boot = boot_time(proc)) {
      exposition.single("process_start_time_seconds", "gauge", "When the process started, in seconds since 1970.",
                        *boot + status->start_seconds);
    }
  }
  if (const auto count = count_descriptors(proc))
    exposition.single("process_open_fds", "gauge", "Open file descriptors.", *count);
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    exposition.single("process_max_fds", "gauge", "How many file descriptors may be open.",
                      static_cast<double>(limit.rlim_cur));
  }
}

}  // namespace dstack::shim::metrics
