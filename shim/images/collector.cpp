#include "shim/images/collector.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <format>

#include "common/error.h"
#include "common/os/thread.h"

namespace dstack::shim::images {

namespace {

constexpr std::chrono::seconds kLookInterval{60};
// What the first look asks the engine is not to be in the way of the shim's start.
constexpr std::chrono::seconds kFirstLook{1};
// What is written down of an image that has arrived is not to be in the way of the container that waits for it.
constexpr std::chrono::seconds kAddAfter{1};
// Of each call, as the shim ends.
constexpr std::chrono::seconds kLastCallLimit{1};
// Of a layer's size: itself while it is downloaded, and about twice as much unpacked beside it.
constexpr std::uint64_t kRoomForDownload = 3;

std::string name_in_engine(const std::string& image) {
  try {
    return docker::parse_image_reference(image).name();
  } catch (const std::exception&) {
    return image;
  }
}

}  // namespace

Collector::Collector(docker::EngineClient& engine, CollectSettings settings, std::function<DiskSpace()> space,
                     std::function<void()> on_removed, os::Clock& clock)
    : engine_(engine),
      settings_(std::move(settings)),
      space_(std::move(space)),
      on_removed_(std::move(on_removed)),
      clock_(clock),
      pulled_(engine, settings_.file, settings_.min_age, clock) {}

Collector::~Collector() { stop(); }

void Collector::stop() {
  if (thread_.joinable()) {
    thread_.request_stop();
    {
      const os::Lock lock(mutex_);
      changed_.notify_all();
    }
    thread_.join();
  }
  pulled_.add_arrived(kLastCallLimit);
  const os::Lock lock(mutex_);
  needed_ = nullptr;
}

void Collector::start(std::function<std::vector<std::string>()> needed) {
  {
    const os::Lock lock(mutex_);
    needed_ = std::move(needed);
  }
  thread_ = os::start_thread<std::jthread>("look at Docker's disk", [this](const std::stop_token& stop) { run(stop); });
}

void Collector::run(const std::stop_token& stop) {
  os::SteadyTime next_look = clock_.now() + kFirstLook;
  while (!stop.stop_requested()) {
    std::optional<std::uint64_t> to_come;
    bool looks = false;
    {
      os::Lock lock(mutex_);
      const auto next = [&]() DSTACK_REQUIRES(mutex_) { return std::min(next_look, add_at_.value_or(next_look)); };
      const os::SteadyTime until = next();
      clock_.wait_until(lock.native(), changed_, until, [&]() DSTACK_REQUIRES(mutex_) {
        return stop.stop_requested() || to_come_.has_value() || next() != until;
      });
      if (stop.stop_requested()) return;
      if (!to_come_ && clock_.now() < next()) continue;
      to_come.swap(to_come_);
      add_at_.reset();
      looks = to_come || clock_.now() >= next_look;
    }
    if (!looks) {
      pulled_.add_arrived(kCallLimit);
      continue;
    }
    next_look = clock_.now() + kLookInterval;
    touch_needed();
    collect(to_come.value_or(0));
  }
}

void Collector::touch_needed() {
  std::function<std::vector<std::string>()> needed;
  {
    const os::Lock lock(mutex_);
    needed = needed_;
  }
  if (!needed) return;
  for (const std::string& image : needed()) {
    try {
      used(docker::parse_image_reference(image));
    } catch (const std::exception&) {
      continue;  // not the name of an image: its task says so
    }
  }
}

void Collector::begins(const docker::ImageReference& image, bool is_absent) { pulled_.begins(image, is_absent); }

void Collector::arrived(const docker::ImageReference& image, const docker::ArrivedImage& arrived) {
  pulled_.arrived(image, arrived);
  const os::Lock lock(mutex_);
  if (add_at_) return;
  add_at_ = clock_.now() + kAddAfter;
  changed_.notify_all();
}

void Collector::failed(const docker::ImageReference& image) { pulled_.failed(image); }

void Collector::used(const docker::ImageReference& image) { pulled_.used(image); }

void Collector::size_known(std::uint64_t bytes_to_come) {
  if (settings_.start.is_nothing()) return;
  const std::uint64_t needed = bytes_to_come * kRoomForDownload;
  const os::Lock lock(mutex_);
  if (needed <= room_ / 2) {
    // Others write as well, but the next look is less than a minute away.
    room_ -= needed;
    return;
  }
  to_come_ = needed;
  changed_.notify_all();
}

bool Collector::make_room(const docker::ImageReference& image) {
  spdlog::warn("The disk is full while {} is pulled", image.name());
  // Whatever is free counts for nothing: it was not enough.
  if (collect(UINT64_MAX) > 0) return true;
  // Room may have been made meanwhile, as the size of the pull had become known.
  return pulled_.has_removed_since_begin(image);
}

int Collector::collect(std::uint64_t bytes_to_come) {
  pulled_.add_arrived(kCallLimit);
  if (settings_.start.is_nothing()) return 0;
  const os::Lock collecting(collecting_);
  int removed = 0;
  try {
    DiskSpace space = space_();
    const auto has = [&](const DiskShare& wanted) {
      return space.free > bytes_to_come && space.free - bytes_to_come >= wanted.of(space.total);
    };
    if (has(settings_.start)) {
      const os::Lock lock(mutex_);
      warned_ = false;
      room_ = space.free - bytes_to_come - settings_.start.of(space.total);
      return 0;
    }
    {
      const os::Lock lock(mutex_);
      room_ = 0;
    }
    // Room for one pull is what is asked for from here on, and the usual target above it.
    if (bytes_to_come == UINT64_MAX) bytes_to_come = 0;
    for (const Image& image : candidates()) {
      if (removed > 0 && has(settings_.stop)) break;
      if (!remove(image)) continue;
      ++removed;
      space = space_();
    }
    const os::Lock lock(mutex_);
    if (removed == 0 && !std::exchange(warned_, true))
      spdlog::warn("Docker's disk has {} free, and no image can be removed", in_units(space.free));
  } catch (const std::exception& error) {
    spdlog::warn("Make room on Docker's disk: {}", error.what());
  }
  return removed;
}

std::vector<Image> Collector::candidates() {
  pulled_.take_back_times_ahead();
  const std::int64_t now = os::unix_seconds(clock_.wall());
  const std::int64_t since = now - settings_.min_age.count();
  std::set<std::string> in_use =
      engine_.used_images(std::chrono::sys_seconds(std::chrono::seconds(since)),
                          std::chrono::sys_seconds(std::chrono::seconds(now)), {.limit = kCallLimit});
  std::function<std::vector<std::string>()> needed;
  {
    const os::Lock lock(mutex_);
    needed = needed_;
  }
  std::vector<Image> images = pulled_.list();
  in_use.merge(pulled_.names_in_pulls());
  if (needed) {
    for (const std::string& image : needed()) in_use.insert(name_in_engine(image));
  }
  std::erase_if(images, [&](const Image& image) {
    return in_use.contains(image.reference) || in_use.contains(image.id) || image.last_use > since;
  });
  std::ranges::sort(images, {}, &Image::last_use);
  return images;
}

bool Collector::remove(const Image& image) {
  try {
    const auto details = engine_.inspect_image(image.reference, {.limit = kCallLimit});
    if (!details || details->id != image.id) {
      pulled_.forget(image);  // another program has removed it, or given its name to another image
      return false;
    }
    const std::int64_t now = os::unix_seconds(clock_.wall());
    const bool is_pulled_by_another = details->tagged_at > now - settings_.min_age.count() && details->tagged_at <= now;
    if (is_pulled_by_another) return false;
    engine_.remove_image(image.reference);
  } catch (const std::exception& error) {
    spdlog::info("Image {} is not removed: {}", printable(image.reference), error.what());
    return false;
  }
  pulled_.removed(image);
  spdlog::info("Removed image {} ({}) to make room", printable(image.reference), in_units(image.bytes));
  on_removed_();
  return true;
}

}  // namespace dstack::shim::images
