#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/os/mutex.h"
#include "shim/host/user_identity.h"

namespace dstack::shim::host {

// Which task holds which keys of which host user. A key is in the user's file as long as any task holds it.
// All members may be called from any thread and block.
class KeyRing {
 public:
  using Lookup = std::function<User(const std::string& name)>;
  explicit KeyRing(Lookup lookup = find_user) : find_user_(std::move(lookup)) {}

  // Adds the keys to the user's file. Throws Error; release() is needed all the same.
  void hold(const std::string& holder, const std::string& user, const std::vector<std::string>& keys);

  // After a restart: this holder may have added these.
  void restore(const std::string& holder, const std::string& user, const std::vector<std::string>& keys);

  // Takes away those keys of the holder that nobody else holds. Idempotent. Throws Error; the lines then stay for
  // remove_leftovers() at the next start, and the holder holds them no more. The keys of a user who no longer exists
  // have gone with the user.
  void release(const std::string& holder);

  // At start, after every restore(): removes lines of ours that no task holds from the files of this host's users.
  // Where another dstack-shim runs on this host they may be that one's and stay. Failures are logged.
  void remove_leftovers();

 private:
  struct Holding {
    std::string user;
    std::vector<std::string> keys;
  };

  std::vector<std::string> keys_of(const std::string& user) const DSTACK_REQUIRES(mutex_);

  const Lookup find_user_;

  // Held while a file is changed.
  os::Mutex mutex_;
  std::map<std::string, Holding> holdings_ DSTACK_GUARDED_BY(mutex_);
};

}  // namespace dstack::shim::host
