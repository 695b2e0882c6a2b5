#pragma once

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <thread>

#include "common/os/clock.h"
#include "common/os/mutex.h"

namespace dstack::shim::task {

// Ends tasks whose owner has gone: a task may name a file, and whoever started it holds a lock on that file. One
// thread, which sleeps while no task has an owner.
class OwnerWatch {
 public:
  // How long a file may be without a lock.
  static constexpr std::chrono::seconds kPatience{60};

  // `is_held`: whether a process holds a lock on the file. `gone` hears of each task whose file nobody has held for
  // `kPatience`, once each look until it is forgotten; on the watch's thread, and must not block.
  OwnerWatch(std::function<bool(const std::filesystem::path&)> is_held,
             std::function<void(const std::string& task_id)> gone, os::Clock& clock);
  OwnerWatch(const OwnerWatch&) = delete;
  OwnerWatch& operator=(const OwnerWatch&) = delete;
  ~OwnerWatch();

  // From any thread. The patience begins now.
  void watch(const std::string& task_id, const std::filesystem::path& file);
  void forget(const std::string& task_id);

 private:
  struct Owner {
    std::filesystem::path file;
    os::SteadyTime last_held;
  };

  void run(const std::stop_token& stop);
  void look();

  const std::function<bool(const std::filesystem::path&)> is_held_;
  const std::function<void(const std::string&)> gone_;
  os::Clock& clock_;
  os::Mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Owner> owners_ DSTACK_GUARDED_BY(mutex_);
  std::jthread thread_;  // last: it ends before what it uses
};

}  // namespace dstack::shim::task
