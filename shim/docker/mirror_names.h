#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <stop_token>
#include <string>

#include "common/os/mutex.h"
#include "shim/docker/engine_client.h"

namespace dstack::shim::docker {

// The names that images have for the length of a pull from a mirror. Each is written to a file before its pull, until
// it is removed: so those of a shim that was killed are found by the next one. Thread-safe.
class MirrorNames {
 public:
  // The names that the file holds are left over; the file need not be there.
  MirrorNames(std::filesystem::path file, EngineClient& engine);

  // A pull under this name begins. It is known to be the shim's own until remove(). Throws Error if that cannot be
  // written down.
  void add(const std::string& name);
  bool has(const std::string& name) const;
  // The pull is over. The last one takes the name from the image; what fails is left to sweep(). Does not throw.
  void remove(const std::string& name);

  // Removes the names that no pull has. Does not throw.
  void sweep(const std::stop_token& stop);

 private:
  void load() DSTACK_REQUIRES(mutex_);
  void save() const DSTACK_REQUIRES(mutex_);
  // Returns whether the engine no longer has it.
  bool remove_from_engine(const std::string& name, const std::stop_token& stop);

  const std::filesystem::path file_;
  EngineClient& engine_;
  mutable os::Mutex mutex_;
  std::map<std::string, int> names_ DSTACK_GUARDED_BY(mutex_);  // and how many pulls have each
};

}  // namespace dstack::shim::docker
