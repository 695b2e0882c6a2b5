#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "common/os/clock.h"
#include "common/os/mutex.h"
#include "shim/gpu/sickness.h"

namespace dstack::shim::gpu {

// GPUs that are set aside, by id, and what was found of them: until the host is started anew or a person says that one
// is well. <home>/sick-gpus.json outlives the process. All members may be called from any thread.
class SickGpus {
 public:
  // `changed` hears of all that are set aside, at once and after each change; not under a lock.
  SickGpus(std::filesystem::path file, std::string boot_id, std::function<void(const Sicknesses&)> changed,
           os::Clock& clock = os::system_clock());

  // Hears of each GPU that is set aside from now on, and why; not under a lock.
  void on_set_aside(std::function<void(const std::string& id, const std::string& reason)> hear);

  Sicknesses all() const;
  bool has(const std::string& id) const;

  void set_aside(const std::string& id, const std::string& reason);
  // Throws Error (not_found) if it is not set aside.
  void accept(const std::string& id);

  // What has been looked at, so that it counts once although a restarted process sees it again: the last record of the
  // kernel's log, and the count of uncorrected errors with which a GPU was accepted.
  std::uint64_t seen_record() const;
  void set_seen_record(std::uint64_t number);
  std::uint64_t seen_errors(const std::string& id) const;
  void set_seen_errors(const std::string& id, std::uint64_t count);

 private:
  struct State {
    Sicknesses sick;
    std::map<std::string, std::uint64_t> errors;
    std::uint64_t record = 0;
  };

  void load() DSTACK_REQUIRES(mutex_);
  void save() DSTACK_REQUIRES(mutex_);

  const std::filesystem::path file_;
  const std::string boot_id_;
  const std::function<void(const Sicknesses&)> changed_;
  os::Clock& clock_;
  mutable os::Mutex mutex_;
  std::function<void(const std::string&, const std::string&)> hear_ DSTACK_GUARDED_BY(mutex_);
  State state_ DSTACK_GUARDED_BY(mutex_);
};

}  // namespace dstack::shim::gpu
