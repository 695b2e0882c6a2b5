#include "shim/host/key_ring.h"

#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <format>
#include <memory>
#include <set>

#include "common/error.h"
#include "common/os/file.h"
#include "shim/host/authorized_keys.h"
#include "shim/host/other_shims.h"
#include "shim/host/user_identity.h"

namespace dstack::shim::host {

namespace {

// Most users of a host are services without a home; to look with their own rights takes a thread each.
bool may_have_keys(const User& user) {
  struct stat status{};
  return ::stat((user.home + "/.ssh/authorized_keys").c_str(), &status) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

}  // namespace

void KeyRing::hold(const std::string& holder, const std::string& user, const std::vector<std::string>& keys) {
  const os::Lock lock(mutex_);
  holdings_[holder] = {.user = user, .keys = keys};
  change_our_keys(find_user_(user), {.add = keys});
}

void KeyRing::restore(const std::string& holder, const std::string& user, const std::vector<std::string>& keys) {
  const os::Lock lock(mutex_);
  holdings_[holder] = {.user = user, .keys = keys};
}

void KeyRing::release(const std::string& holder) {
  const os::Lock lock(mutex_);
  const auto found = holdings_.find(holder);
  if (found == holdings_.end()) return;
  const Holding holding = found->second;
  holdings_.erase(found);
  try {
    change_our_keys(find_user_(holding.user), {.remove = holding.keys, .keep = keys_of(holding.user)});
  } catch (const std::exception& error) {
    if (error_kind(error) == ErrorKind::not_found) {
      spdlog::warn("keys of a task are not removed: {}", error.what());
      return;
    }
    throw;
  }
}

void KeyRing::remove_leftovers() {
  const os::Lock lock(mutex_);
  std::vector<User> affected;
  std::ranges::copy_if(os::UserDatabase().users(), std::back_inserter(affected),
                       [this](const User& user) DSTACK_REQUIRES(mutex_) {
                         return may_have_keys(user) && has_our_keys(user, keys_of(user.name));
                       });
  // Looking for another shim reads all of /proc.
  if (affected.empty() || another_shim_runs("/proc")) return;
  for (const User& user : affected) {
    try {
      change_our_keys(user, {.keep = keys_of(user.name), .remove_others = true});
    } catch (const std::exception& error) {
      spdlog::error("remove left-over keys of user {}: {}", printable(user.name), error.what());
    }
  }
}

std::vector<std::string> KeyRing::keys_of(const std::string& user) const {
  std::vector<std::string> keys;
  for (const auto& [holder, holding] : holdings_) {
    if (holding.user == user) keys.insert(keys.end(), holding.keys.begin(), holding.keys.end());
  }
  return keys;
}

}  // namespace dstack::shim::host
