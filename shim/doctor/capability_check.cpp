#include "shim/doctor/capability_check.h"

#include <unistd.h>

#include <array>
#include <format>

#include "common/os/file.h"
#include "common/text/number.h"
#include "common/text/split.h"
#include "common/text/trim.h"

namespace dstack::shim::doctor {

namespace {

struct Needed {
  unsigned number;  // the kernel's
  const char* name;
};

constexpr std::array kNeeded{
    Needed{0, "CAP_CHOWN"},  Needed{1, "CAP_DAC_OVERRIDE"}, Needed{3, "CAP_FOWNER"},      Needed{5, "CAP_KILL"},
    Needed{6, "CAP_SETGID"}, Needed{7, "CAP_SETUID"},       Needed{19, "CAP_SYS_PTRACE"}, Needed{21, "CAP_SYS_ADMIN"},
};

std::string missing_in(std::uint64_t set) {
  std::string names;
  for (const Needed& capability : kNeeded) {
    if ((set >> capability.number & 1) == 0) names += (names.empty() ? "" : ", ") + std::string(capability.name);
  }
  return names;
}

}  // namespace

std::optional<std::uint64_t> permitted_capabilities(std::string_view status) {
  constexpr std::string_view field = "CapPrm:";
  for (const std::string_view line : text::split_lines(status)) {
    if (line.starts_with(field)) return text::parse_number<std::uint64_t>(text::trim(line.substr(field.size())), 16);
  }
  return std::nullopt;
}

Finding judge_capabilities(std::optional<std::uint64_t> of_shim, std::optional<std::uint64_t> own) {
  if (const std::string missing = of_shim ? missing_in(*of_shim) : ""; !missing.empty()) {
    return broken(
        std::format("the running dstack-shim lacks {}: tasks with SSH keys or volumes fail", missing),
        "look at `systemctl cat dstack-shim`: from systemd 255 on, User=root together with NoNewPrivileges and "
        "SystemCallFilter takes CAP_SETUID away. Remove User=, keep Environment=HOME=/root (install.sh writes "
        "such a unit), then `systemctl daemon-reload` and `systemctl restart dstack-shim`");
  }
  if (of_shim) return ok("the running dstack-shim has all capabilities that it needs");
  if (!own) return ok("not root: the capabilities of a shim started as root are unknown");
  if (const std::string missing = missing_in(*own); !missing.empty()) {
    return warning(std::format("this process lacks {}, and so would a dstack-shim that is started from here", missing),
                   "start dstack-shim as root on the host itself, in no container and without dropped capabilities");
  }
  return ok("root has all capabilities that dstack-shim needs");
}

Finding check_capabilities(const Host& host) {
  const auto of_process = [&host](const std::string& process) {
    return permitted_capabilities(os::try_read_file(host.root / "proc" / process / "status").value_or(""));
  };
  const auto of_shim = host.shim_pid ? of_process(std::to_string(*host.shim_pid)) : std::nullopt;
  return judge_capabilities(of_shim, ::geteuid() == 0 ? of_process("self") : std::nullopt);
}

}  // namespace dstack::shim::doctor
