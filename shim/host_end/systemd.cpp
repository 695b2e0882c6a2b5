#include "shim/host_end/systemd.h"

#include <spdlog/spdlog.h>

#include <format>

#include "common/error.h"
#include "common/os/command.h"
#include "common/os/file.h"
#include "common/text/number.h"
#include "common/text/split.h"

namespace dstack::shim::host_end {

namespace {

namespace fs = std::filesystem;

// systemd is busy stopping everything else meanwhile: on a slow host 3 s were not enough.
constexpr std::chrono::seconds kSystemctlLimit{10};

}  // namespace

fs::path shutdown_schedule(const fs::path& root) { return root / "run/systemd/shutdown/scheduled"; }

// Lines such as "USEC=1795874400000000", "WARN_WALL=1", "MODE=poweroff"; "dry-poweroff" only warns users.
std::optional<Notice> find_scheduled_shutdown(const fs::path& root) {
  const auto content = os::try_read_file(shutdown_schedule(root));
  if (!content) return std::nullopt;
  std::optional<std::int64_t> microseconds;
  std::string_view mode;
  for (const std::string_view line : text::split(*content, '\n')) {
    if (line.starts_with("USEC=")) microseconds = text::parse_number<std::int64_t>(line.substr(5));
    if (line.starts_with("MODE=")) mode = line.substr(5);
  }
  if (!microseconds || mode.starts_with("dry-")) return std::nullopt;
  return Notice{.cause = std::format("a shutdown is scheduled ({})", printable(mode)),
                .down_at = os::WallTime(std::chrono::microseconds(*microseconds)),
                .final = false};
}

bool is_shutting_down(const fs::path& root) {
  std::error_code failure;
  if (!fs::exists(root / "run/systemd/system", failure)) return false;
  try {
    const auto state = os::run_command({.arguments = {"systemctl", "is-system-running"}, .limit = kSystemctlLimit});
    if (state.end != os::CommandResult::End::exited)
      spdlog::warn("systemctl is-system-running {}: jobs are left running, in case that the host stays up",
                   state.describe());
    return state.output.starts_with("stopping");
  } catch (const std::exception& error) {
    spdlog::warn("{}", error.what());
    return false;
  }
}

}  // namespace dstack::shim::host_end
