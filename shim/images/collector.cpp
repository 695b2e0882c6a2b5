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
constexpr std::chrono::seconds kCallLimit{30};
// A use is written down if the last one is so much older.
constexpr std::int64_t kUseResolution = 600;
constexpr std::size_t kRemovedKept = 20;
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
      clock_(clock) {
  try {
    list_ = read_image_list(settings_.file);
  } catch (const std::exception& error) {
    spdlog::warn("{}; images that were pulled until now are not removed", error.what());
  }
}

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
  os::SteadyTime next = clock_.now() + kFirstLook;
  while (!stop.stop_requested()) {
    std::uint64_t to_come = 0;
    {
      os::Lock lock(mutex_);
      clock_.wait_until(lock.native(), changed_, next,
                        [&]() DSTACK_REQUIRES(mutex_) { return stop.stop_requested() || to_come_.has_value(); });
      if (stop.stop_requested()) return;
      to_come = to_come_.value_or(0);
      to_come_.reset();
    }
    next = clock_.now() + kLookInterval;
    touch_needed();
    collect(to_come);
  }
}

std::int64_t Collector::now() const {
  return std::chrono::duration_cast<std::chrono::seconds>(clock_.wall().time_since_epoch()).count();
}

void Collector::save() {
  try {
    write_image_list(settings_.file, list_);
  } catch (const std::exception& error) {
    spdlog::warn("{}", error.what());
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

void Collector::begins(const docker::ImageReference& image) {
  try {
    Before before{.present = engine_.image_present(image, {.limit = kCallLimit}), .ids = {}};
    for (const docker::ImageSummary& known : engine_.images({.limit = kCallLimit})) before.ids.insert(known.id);
    const os::Lock lock(mutex_);
    before.removals = removals_;
    before_.insert_or_assign(image.name(), std::move(before));
  } catch (const std::exception& error) {
    spdlog::debug("Image {} will not be removed by itself: {}", image.name(), error.what());
  }
}

void Collector::arrived(const docker::ImageReference& image, const std::string& known_digest) {
  const std::string name = image.name();
  try {
    const auto details = engine_.inspect_image(name, {.limit = kCallLimit});
    const os::Lock lock(mutex_);
    auto before = before_.extract(name);
    if (!details || before.empty()) return;
    const auto known = std::ranges::find(list_.images, name, &Image::reference);
    const bool was_there = before.mapped().ids.contains(details->id);
    if (known != list_.images.end() && known->id == details->id) {
      known->last_use = now();
      return save();
    }
    if (known != list_.images.end()) {
      // The tag is another image's now; what it was before is still there, without a name.
      known->reference = known->id;
    } else if (before.mapped().present) {
      return;  // the tag was another's before
    }
    if (was_there) return save();
    const std::string digest = details->digests.empty() ? known_digest : details->digests.front();
    list_.images.push_back({.reference = name,
                            .id = details->id,
                            .digest = digest.substr(digest.find('@') + 1),
                            .bytes = details->bytes,
                            .last_use = now()});
    save();
  } catch (const std::exception& error) {
    spdlog::debug("Image {} will not be removed by itself: {}", name, error.what());
  }
}

void Collector::failed(const docker::ImageReference& image) {
  const os::Lock lock(mutex_);
  before_.erase(image.name());
}

void Collector::used(const docker::ImageReference& image) {
  const os::Lock lock(mutex_);
  const auto known = std::ranges::find(list_.images, image.name(), &Image::reference);
  if (known == list_.images.end()) return;
  const std::int64_t age = now() - known->last_use;
  // Less than nothing where the wall clock was set back.
  if (age >= 0 && age < std::min<std::int64_t>(kUseResolution, settings_.min_age.count() / 2)) return;
  known->last_use = now();
  save();
}

void Collector::size_known(std::uint64_t bytes_to_come) {
  const os::Lock lock(mutex_);
  to_come_ = bytes_to_come * kRoomForDownload;
  changed_.notify_all();
}

bool Collector::make_room(const docker::ImageReference& image) {
  spdlog::warn("The disk is full while {} is pulled", image.name());
  // Whatever is free counts for nothing: it was not enough.
  if (collect(UINT64_MAX) > 0) return true;
  // Room may have been made meanwhile, as the size of the pull had become known.
  const os::Lock lock(mutex_);
  const auto before = before_.find(image.name());
  return before != before_.end() && removals_ > before->second.removals;
}

int Collector::collect(std::uint64_t bytes_to_come) {
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
      return 0;
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

// An image whose last use lies ahead was used while the wall clock was wrong: it is as old as if it were used now.
void Collector::take_back_times_ahead() {
  const os::Lock lock(mutex_);
  bool changed = false;
  for (Image& image : list_.images) {
    if (image.last_use <= now()) continue;
    image.last_use = now();
    changed = true;
  }
  if (changed) save();
}

std::vector<Image> Collector::candidates() {
  take_back_times_ahead();
  const std::int64_t since = now() - settings_.min_age.count();
  std::set<std::string> in_use =
      engine_.used_images(std::chrono::sys_seconds(std::chrono::seconds(since)),
                          std::chrono::sys_seconds(std::chrono::seconds(now())), {.limit = kCallLimit});
  std::function<std::vector<std::string>()> needed;
  std::vector<Image> images;
  {
    const os::Lock lock(mutex_);
    images = list_.images;
    needed = needed_;
    for (const auto& [name, before] : before_) in_use.insert(name);
  }
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
  bool is_gone = false;
  try {
    const auto details = engine_.inspect_image(image.reference, {.limit = kCallLimit});
    if (!details || details->id != image.id) {
      is_gone = true;  // another program has removed it, or given its name to another image
    } else if (details->tagged_at > now() - settings_.min_age.count() && details->tagged_at <= now()) {
      return false;  // pulled by another program
    } else {
      engine_.remove_image(image.reference);
    }
  } catch (const std::exception& error) {
    spdlog::info("Image {} is not removed: {}", printable(image.reference), error.what());
    return false;
  }
  const os::Lock lock(mutex_);
  std::erase_if(list_.images, [&](const Image& one) { return one.reference == image.reference; });
  if (!is_gone) {
    ++removals_;
    spdlog::info("Removed image {} ({}) to make room", printable(image.reference), in_units(image.bytes));
    list_.removed.push_back({.reference = image.reference, .bytes = image.bytes, .time = now()});
    if (list_.removed.size() > kRemovedKept) list_.removed.erase(list_.removed.begin());
  }
  save();
  if (!is_gone) on_removed_();
  return !is_gone;
}

}  // namespace dstack::shim::images
