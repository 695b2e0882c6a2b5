#include "shim/host/user_identity.h"

#include <pwd.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <exception>
#include <format>
#include <thread>
#include <vector>

#include "common/error.h"

namespace dstack::shim::host {

namespace {

// These ids belong to a thread, not to the process. With a file-system uid other than 0 the kernel takes the
// capabilities that pass file permissions by from the thread until it is 0 again. The calls tell no error: what holds
// afterwards is asked with an id that cannot be set.
void set_file_ids(uid_t uid, gid_t gid) {
  ::setfsgid(gid);
  ::setfsuid(uid);
  if (::setfsuid(static_cast<uid_t>(-1)) != static_cast<int>(uid) ||
      ::setfsgid(static_cast<gid_t>(-1)) != static_cast<int>(gid)) {
    throw Error(ErrorKind::internal, std::format("cannot take on the file access of uid {}", uid));
  }
}

}  // namespace

User find_user(const std::string& name) {
  if (name.empty()) throw Error(ErrorKind::not_found, "look up a user of this host: the name is empty");
  std::vector<char> buffer(16384);
  passwd entry{};
  passwd* found = nullptr;
  const int failure = ::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) {
    throw Error(ErrorKind::not_found, std::format("look up user {} of this host: {}", printable(name),
                                                  failure == 0 ? "no such user" : describe_errno(failure)));
  }
  return {.name = name, .uid = entry.pw_uid, .gid = entry.pw_gid, .home = entry.pw_dir};
}

void with_file_access_of(const User& user, const std::function<void()>& work) {
  std::exception_ptr failure;
  // A thread of its own, so that nothing can be left over from it.
  std::thread([&] {
    try {
      if (::geteuid() == 0) {
        // The raw call changes this thread alone, glibc's would change all of them.
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
