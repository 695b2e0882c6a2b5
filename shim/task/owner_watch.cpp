#include "shim/task/owner_watch.h"

#include <spdlog/spdlog.h>

#include <vector>

#include "common/os/thread.h"

namespace dstack::shim::task {

namespace {

constexpr std::chrono::seconds kLookInterval{2};

}  // namespace

OwnerWatch::OwnerWatch(std::function<bool(const std::filesystem::path&)> is_held,
                       std::function<void(const std::string&)> gone, os::Clock& clock)
    : is_held_(std::move(is_held)),
      gone_(std::move(gone)),
      clock_(clock),
      thread_(os::start_thread<std::jthread>("watch the owners of tasks",
                                             [this](const std::stop_token& stop) { run(stop); })) {}

OwnerWatch::~OwnerWatch() {
  thread_.request_stop();
  const os::Lock lock(mutex_);
  changed_.notify_all();
}

void OwnerWatch::watch(const std::string& task_id, const std::filesystem::path& file) {
  const os::Lock lock(mutex_);
  owners_[task_id] = {.file = file, .last_held = clock_.now()};
  changed_.notify_all();
}

void OwnerWatch::forget(const std::string& task_id) {
  const os::Lock lock(mutex_);
  owners_.erase(task_id);
}

void OwnerWatch::run(const std::stop_token& stop) {
  os::Lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (owners_.empty()) {
      changed_.wait(lock.native(), [&]() DSTACK_REQUIRES(mutex_) { return stop.stop_requested() || !owners_.empty(); });
      continue;
    }
    clock_.wait_until(lock.native(), changed_, clock_.now() + kLookInterval, [&] { return stop.stop_requested(); });
    if (stop.stop_requested()) return;
    lock.unlock();
    try {
      look();
    } catch (const std::exception& error) {
      spdlog::error("Look for the owners of tasks: {}", error.what());
    }
    lock.lock();
  }
}

void OwnerWatch::look() {
  std::map<std::string, Owner> owners;
  {
    const os::Lock lock(mutex_);
    owners = owners_;
  }
  std::vector<std::string> gone;
  for (const auto& [task_id, owner] : owners) {
    const bool held = is_held_(owner.file);
    const os::Lock lock(mutex_);
    const auto known = owners_.find(task_id);
    if (known == owners_.end()) continue;
    if (held) {
      known->second.last_held = clock_.now();
    } else if (clock_.now() - known->second.last_held >= kPatience) {
      gone.push_back(task_id);
    }
  }
  for (const std::string& task_id : gone) gone_(task_id);
}

}  // namespace dstack::shim::task
