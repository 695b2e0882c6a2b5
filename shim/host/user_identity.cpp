#include "shim/host/user_identity.h"

#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <exception>
#include <format>
#include <thread>
#include <vector>

#include "common/error.h"
#include "common/os/command.h"
#include "common/os/thread.h"
#include "common/os/user_db.h"
#include "common/text/split.h"

namespace dstack::shim::host {

namespace {

constexpr std::chrono::seconds kDirectoryLimit{10};

// These ids belong to a thread, not to the process. With a file-system uid other than 0 the kernel takes the
// capabilities that pass file permissions by from the thread until it is 0 again. The calls tell no error: what holds
// afterwards is asked with an id that cannot be set.
void set_file_ids(uid_t uid, gid_t gid) {
  ::setfsgid(gid);
  ::setfsuid(uid);
  if (::setfsuid(static_cast<uid_t>(-1)) != static_cast<int>(uid) ||
      ::setfsgid(static_cast<gid_t>(-1)) != static_cast<int>(gid)) {
    throw Error(ErrorKind::internal, std::format("cannot switch file access to uid {}", uid));
  }
}

}  // namespace

User find_user(const std::string& name) {
  const std::string attempt = std::format("look up user {} of this host", printable(name));
  if (auto entry = os::UserDatabase().find_user(name)) return *std::move(entry);
  // Directory services (LDAP, SSSD) are plug-ins of the host's C library, which a static program cannot load.
  os::CommandResult answer;
  try {
    answer = os::run_command({.arguments = {"getent", "passwd", "--", name}, .limit = kDirectoryLimit});
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::not_found) throw;
    throw Error(ErrorKind::not_found, attempt + ": not in /etc/passwd, and getent is not installed");
  }
  constexpr int kNoSuchEntry = 2;
  if (!answer.succeeded()) {
    const bool unknown = answer.end == os::CommandResult::End::exited && answer.exit_status == kNoSuchEntry;
    throw Error(unknown ? ErrorKind::not_found : ErrorKind::unavailable,
                std::format("{}: {}", attempt, unknown ? "no such user" : "getent " + answer.describe()));
  }
  const std::vector<std::string_view> lines = text::split_lines(answer.output);
  const std::vector<std::string_view> fields = text::split(lines.empty() ? "" : lines.front(), ':');
  constexpr std::size_t kFieldCount = 7;  // name, password, uid, gid, comment, home, shell
  const auto uid = fields.size() == kFieldCount ? os::parse_user_id(fields[2]) : std::nullopt;
  const auto gid = fields.size() == kFieldCount ? os::parse_user_id(fields[3]) : std::nullopt;
  // getent takes a number for a user id.
  if (!uid || !gid || fields[0] != name) throw Error(ErrorKind::not_found, attempt + ": no such user");
  return {.name = name, .uid = *uid, .gid = *gid, .home = std::string(fields[5]), .shell = std::string(fields[6])};
}

void with_file_access_of(const User& user, const std::function<void()>& work) {
  std::exception_ptr failure;
  // A thread of its own, so that nothing can be left over from it.
  os::start_thread("act as a user", [&] {
    try {
      if (::geteuid() == 0) {
        // The raw call changes this thread alone, the C library's would change all of them.
        if (::syscall(SYS_setgroups, 0, nullptr) != 0) throw os_error("drop the groups for", user.name);
        set_file_ids(user.uid, user.gid);
      }
      work();
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
}

void as_root(const User& user, const std::function<void()>& act) {
  if (::geteuid() != 0) return act();
  set_file_ids(0, 0);
  try {
    act();
  } catch (...) {
    set_file_ids(user.uid, user.gid);
    throw;
  }
  set_file_ids(user.uid, user.gid);
}

}  // namespace dstack::shim::host
