#include "shim/doctor/system_checks.h"

#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <format>
#include <vector>

#include "common/error.h"
#include "common/os/child.h"
#include "common/os/file.h"
#include "common/text/number.h"
#include "common/text/trim.h"
#include "shim/component/download.h"
#include "shim/doctor/build_date.h"
#include "shim/doctor/engine_checks.h"

namespace dstack::shim::doctor {

namespace {

constexpr std::array kTools{"mount", "umount", "mountpoint", "lsblk", "blkid", "mkfs.ext4"};

std::string date_of(os::WallTime time) {
  return std::format("{:%Y-%m-%d %H:%M} UTC", std::chrono::floor<std::chrono::minutes>(time));
}

std::vector<std::string> process_ids(const std::filesystem::path& proc) {
  std::vector<std::string> ids;
  std::error_code failure;
  std::filesystem::directory_iterator entry(proc, failure);
  while (!failure && entry != std::filesystem::directory_iterator()) {
    const std::string name = entry->path().filename().string();
    if (text::is_digits(name)) ids.push_back(name);
    entry.increment(failure);
  }
  return ids;
}

// Asks the kernel and sets nothing; a sandbox may forbid even that.
std::optional<bool> kernel_is_synchronised() {
  timex state{};
  const int result = ::adjtimex(&state);
  if (result < 0) return std::nullopt;
  return result != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
}

}  // namespace

Finding check_runner(const Host& host) {
  const std::string path = host.runner_binary.string();
  const std::string remedy =
      "install it there (scripts/install.sh does), or let the shim fetch it: "
      "DSTACK_RUNNER_DOWNLOAD_URL; a dstack server installs it, too";
  std::error_code failure;
  if (!std::filesystem::exists(host.runner_binary, failure))
    return warning(std::format("{} does not exist: tasks fail until it does", path), remedy);
  if (!std::filesystem::is_regular_file(host.runner_binary, failure) || ::access(path.c_str(), X_OK) != 0)
    return broken(std::format("{} cannot be executed", path), std::format("`chmod 755 {}`, or {}", path, remedy));
  try {
    return ok(
        std::format("{}, version {}", path, readable(component::ask_version(host.runner_binary, "dstack-runner"))));
  } catch (const std::exception& error) {
    return broken(std::format("{} is not a dstack-runner binary: {}", path, error.what()), remedy);
  }
}

Finding check_tools(const Host&) {
  std::string missing;
  std::string present;
  for (const char* tool : kTools) {
    const auto append = [tool](std::string& list) { list += std::string(list.empty() ? "" : ", ") + tool; };
    append(os::find_program(tool) ? present : missing);
  }
  if (missing.empty()) return ok(present);
  return warning(std::format("not on PATH: {}; tasks with volumes will fail", missing),
                 "install the packages mount, util-linux and e2fsprogs (Debian, Ubuntu) or util-linux and e2fsprogs "
                 "(Fedora, RHEL, SUSE)");
}

Finding check_unpigz(const Host& host) {
  bool containerd_images = false;
  try {
    containerd_images = ask_engine(host).containerd_images;
  } catch (const std::exception&) {
    // Docker's own check says why.
  }
  // containerd takes either, the first one first; Docker's own store only the second.
  if (const auto path = os::find_program("igzip"); path && containerd_images) return ok(*path);
  if (const auto path = os::find_program("unpigz")) return ok(*path);
  return warning("not on PATH: Docker unpacks images on one core",
                 containerd_images ? "install the package isal, or pigz" : "install the package pigz");
}

std::optional<std::string> time_daemon(const std::filesystem::path& proc) {
  constexpr std::array daemons{"systemd-timesyn", "chronyd", "ntpd", "ntpsec", "openntpd"};
  for (const std::string& process : process_ids(proc)) {
    const std::string status = os::try_read_file(proc / process / "comm").value_or("");
    const std::string_view name = text::trim(status);
    if (std::ranges::contains(daemons, name))
      return name == "systemd-timesyn" ? "systemd-timesyncd" : std::string(name);
  }
  return std::nullopt;
}

Finding judge_clock(os::WallTime now, std::optional<os::WallTime> built, std::optional<bool> synchronised,
                    const std::optional<std::string>& daemon) {
  const std::string remedy =
      daemon ? std::format(
                   "{0} runs, but has not reached a time server: look at the network and at its servers "
                   "(`timedatectl timesync-status`, `chronyc sources` or `ntpq -p`)",
                   *daemon)
             : "set the time and keep it: `timedatectl set-ntp true`, or install chrony";
  if (built && now < *built) {
    return warning(std::format("{}, which is before this program was built ({}): certificates will seem not yet valid",
                               date_of(now), date_of(*built)),
                   remedy);
  }
  if (synchronised && !*synchronised) return warning(std::format("{}, and not synchronised", date_of(now)), remedy);
  return ok(date_of(now) + (synchronised ? ", synchronised" : ""));
}

Finding check_clock(const Host& host) {
  return judge_clock(host.clock->wall(), build_date(), kernel_is_synchronised(), time_daemon(host.root / "proc"));
}

}  // namespace dstack::shim::doctor
