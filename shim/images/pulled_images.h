#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "common/os/clock.h"
#include "common/os/mutex.h"
#include "shim/docker/engine_client.h"
#include "shim/docker/pull_observer.h"
#include "shim/images/image_list.h"

namespace dstack::shim::images {

// Of each call of the engine here.
inline constexpr std::chrono::seconds kCallLimit{30};

// The images that this shim has pulled and that were not there before, kept in a file. Thread-safe; throws nothing but
// where it says so.
class PulledImages {
 public:
  // A use is written down if the last one is older than ten minutes, or than half of `min_age` where that is less.
  PulledImages(docker::EngineClient& engine, std::filesystem::path file, std::chrono::seconds min_age,
               os::Clock& clock);

  // Of pulls; on their threads. begins() may ask the engine, the others do not.
  void begins(const docker::ImageReference& image, bool is_absent);
  void arrived(const docker::ImageReference& image, const docker::ArrivedImage& arrived);
  void failed(const docker::ImageReference& image);

  void used(const docker::ImageReference& image);
  // Whether one was removed since this pull began.
  bool has_removed_since_begin(const docker::ImageReference& image) const;

  // Adds the images that have arrived since the last call, after a look at each. Those for which the engine has no time
  // within `limit` are left to the next call.
  void add_arrived(std::chrono::milliseconds limit);

  std::vector<Image> list() const;
  // Of pulls that have begun, and of images that add_arrived() has not added yet.
  std::set<std::string> names_in_pulls() const;
  // An image whose last use lies ahead was used while the wall clock was wrong: it is as old as if it were used now.
  void take_back_times_ahead();
  // By its reference: it was removed, or is not this shim's any more.
  void removed(const Image& image);
  void forget(const Image& image);

 private:
  // What there was when a pull began.
  struct Before {
    bool present = false;                      // an image of that name
    std::optional<std::set<std::string>> ids;  // of all images, where the pull itself does not tell
    std::uint64_t removals = 0;
  };
  struct Arrival {
    docker::ImageReference image;
    docker::ArrivedImage arrived;
    Before before;
  };

  // Throws Error if the engine cannot be asked. Returns whether the list has changed.
  bool add(const Arrival& arrival, std::chrono::milliseconds limit);
  bool enter(const Arrival& arrival, const docker::ImageDetails& details) DSTACK_REQUIRES(mutex_);
  void erase(const Image& image) DSTACK_REQUIRES(mutex_);
  void save() DSTACK_REQUIRES(mutex_);

  docker::EngineClient& engine_;
  const std::filesystem::path file_;
  const std::int64_t use_resolution_;  // seconds
  os::Clock& clock_;

  os::Mutex adding_;  // held while images are looked at; before mutex_
  mutable os::Mutex mutex_;
  ImageList list_ DSTACK_GUARDED_BY(mutex_);
  std::map<std::string, Before> before_ DSTACK_GUARDED_BY(mutex_);
  std::vector<Arrival> arrivals_ DSTACK_GUARDED_BY(mutex_);
  std::uint64_t removals_ DSTACK_GUARDED_BY(mutex_) = 0;  // until now
};

}  // namespace dstack::shim::images
