#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <filesystem>
#include <format>
#include <iostream>

#include "common/exit_status.h"
#include "common/os/clock.h"
#include "common/os/command.h"
#include "common/os/directory.h"
#include "common/os/file.h"
#include "common/os/remove_tree.h"
#include "common/os/user_db.h"
#include "common/server_api/flags.h"
#include "shim/relay/relay.h"

namespace dstack::shim::relay {

using namespace std::chrono_literals;

namespace {

constexpr const char* kUser = "dstack-relay";
constexpr const char* kProgram = "/usr/local/bin/dstack-shim";
constexpr const char* kDropIn =
    "# Written by dstack-shim relay install, removed by dstack-shim relay remove.\n"
    "Match User dstack-relay\n"
    "    AuthorizedKeysFile none\n"
    "    AuthorizedKeysCommand /usr/local/bin/dstack-shim relay keys %k\n"
    "    AuthorizedKeysCommandUser dstack-relay\n"
    "    AllowTcpForwarding remote\n"
    "    GatewayPorts clientspecified\n"
    "    PermitTTY no\n"
    "    ClientAliveInterval 15\n"
    "    ClientAliveCountMax 2\n";

void demand_root(const char* verb) {
  if (::geteuid() != 0) {
    throw CommandError(
        exit_status::kNoPermission,
        std::format("relay {0} changes this machine and must be root: sudo dstack-shim relay {0}", verb));
  }
}

os::CommandResult run(std::vector<std::string> arguments) {
  return os::run_command({.arguments = std::move(arguments), .limit = 60s});
}

void demand(std::vector<std::string> arguments) {
  const std::string program = arguments[0];
  const auto result = run(std::move(arguments));
  if (!result.succeeded())
    throw CommandError(exit_status::kUnavailable, std::format("{} {}", program, result.describe()));
}

std::string sshd_program() {
  for (const char* path : {"/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"}) {
    if (::access(path, X_OK) == 0) return path;
  }
  throw CommandError(exit_status::kUnavailable, "this machine has no SSH server: apt-get install openssh-server");
}

// sshd runs a program of AuthorizedKeysCommand only if nobody but root may change it.
void check_program() {
  struct stat status{};
  if (::stat(kProgram, &status) != 0) {
    throw CommandError(exit_status::kUnavailable,
                       std::format("{} does not exist, and sshd calls it: scripts/install.sh installs it", kProgram));
  }
  if (status.st_uid != 0 || (status.st_mode & 022) != 0) {
    throw CommandError(
        exit_status::kUnavailable,
        std::format("{0} must be owned by root, and writable only by root: chown root:root {0}; chmod 755 {0}",
                    kProgram));
  }
}

void check_drop_ins(const RelayPlaces& places) {
  const auto config = os::try_read_file(places.sshd_config());
  if (config && config->contains("sshd_config.d/")) return;
  throw CommandError(exit_status::kUnavailable,
                     std::format("{} does not include /etc/ssh/sshd_config.d: add the line \"Include "
                                 "/etc/ssh/sshd_config.d/*.conf\" at its beginning",
                                 places.sshd_config().string()));
}

bool make_user() {
  if (os::UserDatabase().find_user(std::string_view(kUser))) return false;
  // A password of "*" is none that anybody has; sshd lets in no account that is locked ("!").
  demand({"useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/sh",
          "--password", "*", kUser});
  return true;
}

// The running sshd reads its configuration again. One that does not run reads it when it starts.
void reload_sshd() {
  for (const char* unit : {"ssh.service", "sshd.service"}) {
    if (!run({"systemctl", "--quiet", "is-active", unit}).succeeded()) continue;
    demand({"systemctl", "reload", unit});
    return;
  }
}

bool write_settings(const RelayPlaces& places, const server_api::Account& account) {
  const auto group = os::UserDatabase().find_group(kUser);
  if (!group) throw CommandError(exit_status::kUnavailable, std::format("group {} does not exist", kUser));
  const auto before = os::try_read_file(places.settings());
  os::make_directories(places.settings().parent_path(), 0755);
  server_api::store(places.settings(),
                    {.token = account.token.reveal(), .server = account.url, .project = account.project});
  if (::chown(places.settings().c_str(), 0, group->gid) != 0)
    throw os_error("change the group of", places.settings().string());
  if (::chmod(places.settings().c_str(), 0640) != 0) throw os_error("set the mode of", places.settings().string());
  return before != os::try_read_file(places.settings());
}

// As one step with a check: what sshd does not take is put back.
bool write_drop_in(const RelayPlaces& places, const std::string& sshd) {
  const auto before = os::try_read_file(places.drop_in());
  if (before == kDropIn) return false;
  os::make_directories(places.drop_in().parent_path(), 0755);
  os::write_file_atomic(places.drop_in(), kDropIn, 0644);
  const auto put_back = [&] {
    if (before) {
      os::write_file_atomic(places.drop_in(), *before, 0644);
    } else {
      os::remove_file(places.drop_in());
    }
  };
  const auto check = run({sshd, "-t"});
  if (!check.succeeded()) {
    put_back();
    throw CommandError(exit_status::kUnavailable, std::format("sshd -t rejects {}: the old file was restored: {}",
                                                              places.drop_in().string(), check.describe()));
  }
  try {
    reload_sshd();
  } catch (...) {
    put_back();
    throw;
  }
  return true;
}

// All processes of the user: its logins, which would keep it from being removed.
bool end_processes(os::UserId uid) {
  bool any = false;
  for (const std::string& name : os::list_directory("/proc").names) {
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    struct stat status{};
    if (error != std::errc{} || end != name.data() + name.size() || ::stat(("/proc/" + name).c_str(), &status) != 0)
      continue;
    if (status.st_uid != uid) continue;
    any = true;
    ::kill(pid, SIGTERM);
  }
  return any;
}

bool remove_user() {
  const auto user = os::UserDatabase().find_user(std::string_view(kUser));
  if (!user) return false;
  os::Clock& clock = os::system_clock();
  const os::SteadyTime limit = clock.now() + 10s;
  while (end_processes(user->uid) && clock.now() < limit) os::pause(clock, 200ms, {});
  demand({"userdel", kUser});
  if (os::UserDatabase().find_group(kUser)) demand({"groupdel", kUser});
  return true;
}

}  // namespace

server_api::Account account_of_member(const server_api::Given& given) {
  server_api::Account account = server_api::find_account(given);
  server_api::Client server(account);
  server.check_membership(server.project());
  return account;
}

int install(const RelayCommand& command, const RelayPlaces& places) {
  demand_root("install");
  const server_api::Account account = account_of_member(command.given);
  const std::string sshd = sshd_program();
  check_program();
  check_drop_ins(places);

  bool changed = make_user();
  changed = write_settings(places, account) || changed;
  changed = write_drop_in(places, sshd) || changed;
  std::cout << (changed ? "the relay is set up" : "the relay is already set up") << ": hosts log in as " << kUser
            << " with the key of a member of project " << account.project << "\n";
  return exit_status::kDone;
}

int remove_relay(const RelayPlaces& places) {
  demand_root("remove");
  std::error_code failure;
  bool changed = false;
  if (std::filesystem::exists(places.drop_in(), failure)) {
    os::remove_file(places.drop_in());
    reload_sshd();
    changed = true;
  }
  changed = remove_user() || changed;
  if (std::filesystem::exists(places.settings(), failure)) {
    os::remove_file(places.settings());
    changed = true;
  }
  // Not what others keep there.
  ::rmdir(places.settings().parent_path().c_str());
  std::cout << (changed ? "the relay is removed\n" : "there is no relay here\n");
  return exit_status::kDone;
}

}  // namespace dstack::shim::relay
