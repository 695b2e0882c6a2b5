#include "shim/doctor/port_checks.h"

#include <algorithm>
#include <array>
#include <format>
#include <nlohmann/json.hpp>
#include <set>

#include "common/error.h"
#include "common/http/client.h"
#include "common/json/member.h"
#include "common/os/directory.h"
#include "common/os/file.h"
#include "common/os/proc_net.h"
#include "common/text/number.h"

namespace dstack::shim::doctor {

namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kAnswerLimit{3};

// Whether a socket bound to this address keeps 127.0.0.1 from being bound: the address itself and every address, of
// IPv4 or of IPv6 (which takes IPv4 along unless told otherwise). As the kernel writes them, in the machine's order.
bool takes_loopback(std::string_view address) {
  constexpr std::array<std::string_view, 4> takers{"0100007F", "00000000", "00000000000000000000000000000000",
                                                   "0000000000000000FFFF00000100007F"};
  return std::ranges::contains(takers, address);
}

// Inodes of the sockets that listen there.
std::set<std::string> listeners(const fs::path& proc, int port) {
  std::set<std::string> inodes;
  for (const char* table : {"net/tcp", "net/tcp6"}) {
    const std::string text = os::try_read_file(proc / table).value_or("");
    for (const os::TcpEntry& entry : os::parse_proc_net_tcp(text)) {
      if (entry.is_listening() && entry.local_port == port && takes_loopback(entry.local_address()))
        inodes.emplace(entry.inode);
    }
  }
  return inodes;
}

// The process that has one of these sockets open.
std::optional<std::string> holder(const fs::path& proc, const std::set<std::string>& inodes) {
  for (const std::string& id : os::list_directory(proc).names) {
    if (!text::is_digits(id)) continue;
    const fs::path process = proc / id;
    for (const std::string& descriptor : os::list_directory(process / "fd").names) {
      std::error_code failure;
      const std::string target = fs::read_symlink(process / "fd" / descriptor, failure).string();
      if (!target.starts_with("socket:[") || !inodes.contains(target.substr(8, target.size() - 9))) continue;
      std::string name = os::try_read_file(process / "comm").value_or("");
      while (name.ends_with('\n')) name.pop_back();
      return std::format("{} ({})", readable(name), id);
    }
  }
  return std::nullopt;
}

// The version of a dstack-shim that answers there.
std::optional<std::string> shim_version(const Host& host) {
  try {
    http::Client client({.base_url = std::format("http://127.0.0.1:{}", host.shim_port)}, *host.clock);
    const http::ClientResponse answer = client.send({.path = "/api/healthcheck", .total_limit = kAnswerLimit});
    const auto body = nlohmann::json::parse(answer.body, nullptr, false);
    if (json::text_member(body, "service") != "dstack-shim") return std::nullopt;
    const std::string version = json::text_member(body, "version");
    return version.empty() ? "unknown" : readable(version);
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

}  // namespace

std::optional<std::string> who_listens(const fs::path& proc, int port) {
  const std::set<std::string> inodes = listeners(proc, port);
  if (inodes.empty()) return std::nullopt;
  return holder(proc, inodes).value_or("a program of another user or container");
}

Finding check_shim_port(const Host& host) {
  const auto who = who_listens(host.root / "proc", host.shim_port);
  if (!who) return ok(std::format("{} is free: no dstack-shim runs on it", host.shim_port));
  if (const auto version = shim_version(host))
    return ok(std::format("{} is used by a running dstack-shim, version {}", host.shim_port, *version));
  if (who->starts_with("dstack-shim (")) {
    return broken(std::format("{} is used by {}, which does not answer", host.shim_port, *who),
                  "start it again: `systemctl restart dstack-shim`; tasks go on meanwhile");
  }
  return broken(std::format("{} is used by {}, which is not dstack-shim", host.shim_port, *who),
                std::format("stop that program, or give the shim another port: DSTACK_SHIM_HTTP_PORT (a server expects "
                            "10998); `ss -ltnp 'sport = :{}'` tells more",
                            host.shim_port));
}

Finding check_runner_ports(const Host& host) {
  std::string taken;
  std::string used;
  for (const int port : {host.runner_http_port, host.runner_ssh_port}) {
    const auto who = who_listens(host.root / "proc", port);
    if (!who) continue;
    // A task in the host's network has them, as it should: the runner, and the SSH server that it brings.
    const bool ours = who->starts_with("dstack-runner (") || (who->starts_with("sshd (") && !used.empty());
    std::string& list = ours ? used : taken;
    list += std::format("{}{} by {}", list.empty() ? "" : ", ", port, *who);
  }
  const std::string both = std::format("{} and {}", host.runner_http_port, host.runner_ssh_port);
  if (!taken.empty()) {
    return warning(std::format("taken: {}", taken),
                   "a task in the host's network cannot start meanwhile: stop that program, or set "
                   "DSTACK_RUNNER_HTTP_PORT and DSTACK_RUNNER_SSH_PORT for the shim");
  }
  if (!used.empty()) return ok(std::format("{}: used by a task ({})", both, used));
  return ok(std::format("{} are free", both));
}

}  // namespace dstack::shim::doctor
