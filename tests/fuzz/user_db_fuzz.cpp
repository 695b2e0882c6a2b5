// An image's /etc/passwd and /etc/group may hold anything.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <format>
#include <string_view>

#include "common/os/file.h"
#include "common/os/user_db.h"
#include "tests/fuzz/planted.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace dstack;
  const os::UniqueFd file(::memfd_create("users", MFD_CLOEXEC));
  os::write_all(file.get(), {reinterpret_cast<const char*>(data), size}, "the input");
  const std::string path = std::format("/proc/self/fd/{}", file.get());
  const os::UserDatabase users(path, path);
  if (const auto root = users.find_user(os::UserId{0})) {
    // What was found by number has a name, and its first entry is that one or an earlier one of the same name.
    if (root->name.empty() || !users.find_user(root->name)) std::abort();
  }
  if (const auto group = users.find_group("g"); group && group->name != "g") std::abort();
  test::planted_bug(users.groups_with_member("a").size() == 3);
  return 0;
}
