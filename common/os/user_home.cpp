#include "common/os/user_home.h"

#include <unistd.h>

#include <cstdlib>

#include "common/os/user_db.h"

namespace dstack::os {

std::filesystem::path user_home() {
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0') return home;
  if (const auto user = UserDatabase().find_user(::getuid())) return user->home;
  return "/root";
}

}  // namespace dstack::os
