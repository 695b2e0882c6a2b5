#pragma once

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/os/clock.h"
#include "common/os/mutex.h"
#include "shim/docker/engine_client.h"
#include "shim/docker/pull_observer.h"
#include "shim/images/disk_share.h"
#include "shim/images/pulled_images.h"

namespace dstack::shim::images {

struct CollectSettings {
  std::filesystem::path file;  // of the list
  DiskShare start;             // less free than this: images are removed; nothing: none ever is
  DiskShare stop;              // until so much is free
  std::chrono::seconds min_age{0};
};

// Keeps Docker's disk from filling up: knows which images this shim has pulled, and removes those that nothing needs,
// least recently used first. An image that was there before its first pull is never touched. Thread-safe.
class Collector final : public docker::PullObserver {
 public:
  // `space` is asked for the disk that the engine unpacks images on; it may throw. `on_removed` hears of each removal.
  Collector(docker::EngineClient& engine, CollectSettings settings, std::function<DiskSpace()> space,
            std::function<void()> on_removed, os::Clock& clock = os::system_clock());
  ~Collector() override;

  // Begins to look at the disk, every minute. `needed` gives the images of tasks that have not ended.
  void start(std::function<std::vector<std::string>()> needed);
  // Afterwards `needed` is not called any more.
  void stop();

  // Of pulls; on their threads.
  void begins(const docker::ImageReference& image, bool is_absent) override;
  void arrived(const docker::ImageReference& image, const docker::ArrivedImage& arrived) override;
  void failed(const docker::ImageReference& image) override;
  void used(const docker::ImageReference& image) override;
  void size_known(std::uint64_t bytes_to_come) override;
  bool make_room(const docker::ImageReference& image) override;

  // Looks at the disk once, as if `bytes_to_come` were used already; returns how many images were removed.
  int collect(std::uint64_t bytes_to_come = 0);

 private:
  void run(const std::stop_token& stop);
  void touch_needed();
  // Least recently used first.
  std::vector<Image> candidates();
  bool remove(const Image& image);

  docker::EngineClient& engine_;
  const CollectSettings settings_;
  const std::function<DiskSpace()> space_;
  const std::function<void()> on_removed_;
  os::Clock& clock_;

  PulledImages pulled_;

  os::Mutex collecting_;  // held while images are removed
  os::Mutex mutex_;
  std::condition_variable changed_;
  std::function<std::vector<std::string>()> needed_ DSTACK_GUARDED_BY(mutex_);
  std::optional<std::uint64_t> to_come_ DSTACK_GUARDED_BY(mutex_);  // of a pull whose size has just become known
  std::uint64_t room_ DSTACK_GUARDED_BY(mutex_) = 0;  // that may be used before images are removed, as of the last look
  std::optional<os::SteadyTime> add_at_ DSTACK_GUARDED_BY(mutex_);  // when images that have arrived are to be added
  bool warned_ DSTACK_GUARDED_BY(mutex_) = false;                   // that the disk is full and nothing can be removed
  std::jthread thread_;                                             // last: it ends before what it uses
};

// Has the disk looked at for as long as it lives.
class DiskWatch {
 public:
  DiskWatch(Collector& collector, std::function<std::vector<std::string>()> needed) : collector_(collector) {
    collector_.start(std::move(needed));
  }
  DiskWatch(const DiskWatch&) = delete;
  DiskWatch& operator=(const DiskWatch&) = delete;
  ~DiskWatch() { collector_.stop(); }

 private:
  Collector& collector_;
};

}  // namespace dstack::shim::images
