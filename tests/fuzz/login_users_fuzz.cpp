// The users that the SSH server in a container knows (cmake/recipes/openssh/users.c): from an image's /etc/passwd and
// the groups that the runner wrote for the job's user. The input is the name that somebody logs in by, /etc/passwd and
// that file, with an empty line between them.

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "tests/fuzz/planted.h"

namespace {

std::string passwd_text;
std::string job_user;
std::size_t groups_set = 0;

std::FILE* open_text(std::string& text) { return text.empty() ? nullptr : ::fmemopen(text.data(), text.size(), "r"); }

// The first entry that matches; valid until the next call, as with getpwnam(3).
template <typename Matches>
struct passwd* find_entry(Matches matches) {
  std::FILE* file = open_text(passwd_text);
  if (file == nullptr) return nullptr;
  struct passwd* entry = ::fgetpwent(file);
  while (entry != nullptr && !matches(*entry)) entry = ::fgetpwent(file);
  std::fclose(file);
  return entry;
}

std::string_view take_part(std::string_view& rest) {
  const std::size_t end = std::min(rest.find("\n\n"), rest.size());
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 2, rest.size()));
  return part;
}

}  // namespace

// What users.c calls, in place of the C library's (CMakeLists.txt) and of its neighbours'.
extern "C" {
struct passwd* image_getpwnam(const char* name);
struct passwd* image_getpwuid(uid_t uid);
int image_initgroups(const char* user, gid_t group);

std::FILE* login_users_fopen(const char*, const char*) { return open_text(job_user); }
struct passwd* login_users_getpwnam(const char* name) {
  return find_entry([name](const struct passwd& entry) { return std::strcmp(entry.pw_name, name) == 0; });
}
struct passwd* login_users_getpwuid(uid_t uid) {
  return find_entry([uid](const struct passwd& entry) { return entry.pw_uid == uid; });
}
int login_users_initgroups(const char*, gid_t) { return 0; }
int image_setgroups(std::size_t count, const gid_t* groups) {
  // Reads all of them, for the sanitizers' sake.
  gid_t all = 0;
  for (std::size_t i = 0; i < count; ++i) all |= groups[i];
  groups_set = count;
  dstack::test::planted_bug(count == 3 && all == 7);
  return 0;
}
bool on_host(void) { return false; }
bool can_change_user(void) { return true; }
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const std::string name(take_part(rest));
  passwd_text = take_part(rest);
  job_user = rest;
  groups_set = 0;
  if (const struct passwd* user = image_getpwnam(name.c_str())) {
    if (name[0] == '+' || name[0] == '-') std::abort();
    // sshd takes all of these for granted.
    if (user->pw_name == nullptr || user->pw_dir == nullptr || user->pw_shell == nullptr) std::abort();
    if (user->pw_dir[0] != '/' && std::strcmp(user->pw_name, "sshd") != 0) std::abort();
    image_initgroups(user->pw_name, user->pw_gid);
    if (groups_set > 1024) std::abort();
  }
  image_getpwuid(0);
  return 0;
}
