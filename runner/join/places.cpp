#include "runner/join/places.h"

#include "common/os/user_db.h"

namespace dstack::runner::join {

bool is_there(const std::filesystem::path& path) {
  std::error_code failure;
  return std::filesystem::exists(std::filesystem::symlink_status(path, failure));
}

Places places_of_host() {
  Places places;
  const auto root = os::UserDatabase().find_user(os::UserId{0});
  if (root && root->home.starts_with('/')) places.home = root->home;
  return places;
}

}  // namespace dstack::runner::join
