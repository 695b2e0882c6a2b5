#pragma once

#include <filesystem>
#include <optional>

#include "shim/host_end/notice.h"

namespace dstack::shim::host_end {

// The shutdown that systemd has scheduled (`shutdown +5`), which can still be called off; nothing if there is none.
std::optional<Notice> find_scheduled_shutdown(const std::filesystem::path& root = "/");

// The file that says so.
std::filesystem::path shutdown_schedule(const std::filesystem::path& root = "/");

// Whether systemd is shutting the host down now, for whatever reason: the power button, `poweroff`, `reboot`. Asks
// systemctl, 10 s at most; false without systemd, and, with a warning, if it does not answer.
bool is_shutting_down(const std::filesystem::path& root = "/");

}  // namespace dstack::shim::host_end
