#include "shim/images/pulled_images.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <format>
#include <utility>

#include "common/error.h"

namespace dstack::shim::images {

namespace {

constexpr std::int64_t kUseResolution = 600;
constexpr std::size_t kRemovedKept = 20;

// Docker's own image store names layers in a pull only if it does not have the image. The others name them anyway.
bool pull_tells_of_known_images(const docker::EngineInfo& engine) {
  return !engine.containerd_images && !engine.podman;
}

}  // namespace

PulledImages::PulledImages(docker::EngineClient& engine, std::filesystem::path file, std::chrono::seconds min_age,
                           os::Clock& clock)
    : engine_(engine),
      file_(std::move(file)),
      use_resolution_(std::min<std::int64_t>(kUseResolution, min_age.count() / 2)),
      clock_(clock) {
  try {
    list_ = read_image_list(file_);
  } catch (const std::exception& error) {
    spdlog::warn("{}; images that were pulled until now are not removed", error.what());
  }
}

void PulledImages::save() {
  try {
    write_image_list(file_, list_);
  } catch (const std::exception& error) {
    spdlog::warn("{}", error.what());
  }
}

void PulledImages::begins(const docker::ImageReference& image, bool is_absent) {
  try {
    Before before{.present = !is_absent && engine_.image_present(image, {.limit = kCallLimit})};
    if (!pull_tells_of_known_images(engine_.known_info({.limit = kCallLimit}))) {
      before.ids.emplace();
      for (const docker::ImageSummary& known : engine_.images({.limit = kCallLimit})) before.ids->insert(known.id);
    }
    const os::Lock lock(mutex_);
    before.removals = removals_;
    before_.insert_or_assign(image.name(), std::move(before));
  } catch (const std::exception& error) {
    spdlog::debug("Image {} will not be removed by itself: {}", image.name(), error.what());
  }
}

void PulledImages::arrived(const docker::ImageReference& image, const docker::ArrivedImage& arrived) {
  const os::Lock lock(mutex_);
  auto before = before_.extract(image.name());
  if (before.empty()) return;
  arrivals_.push_back({.image = image, .arrived = arrived, .before = std::move(before.mapped())});
}

void PulledImages::failed(const docker::ImageReference& image) {
  const os::Lock lock(mutex_);
  before_.erase(image.name());
}

void PulledImages::used(const docker::ImageReference& image) {
  const os::Lock lock(mutex_);
  const auto known = std::ranges::find(list_.images, image.name(), &Image::reference);
  if (known == list_.images.end()) return;
  const std::int64_t now = os::unix_seconds(clock_.wall());
  const std::int64_t age = now - known->last_use;
  // Less than nothing where the wall clock was set back.
  if (age >= 0 && age < use_resolution_) return;
  known->last_use = now;
  save();
}

bool PulledImages::has_removed_since_begin(const docker::ImageReference& image) const {
  const os::Lock lock(mutex_);
  const auto before = before_.find(image.name());
  return before != before_.end() && removals_ > before->second.removals;
}

void PulledImages::add_arrived(std::chrono::milliseconds limit) {
  const os::Lock adding(adding_);
  bool changed = false;
  while (true) {
    std::optional<Arrival> arrival;
    {
      const os::Lock lock(mutex_);
      if (arrivals_.empty()) break;
      arrival = arrivals_.front();
    }
    try {
      changed |= add(*arrival, limit);
    } catch (const std::exception& error) {
      const ErrorKind kind = error_kind(error);
      if (kind == ErrorKind::unavailable || kind == ErrorKind::timed_out) break;
      spdlog::debug("Image {} will not be removed by itself: {}", arrival->image.name(), error.what());
    }
    const os::Lock lock(mutex_);
    arrivals_.erase(arrivals_.begin());
  }
  if (!changed) return;
  const os::Lock lock(mutex_);
  save();
}

bool PulledImages::add(const Arrival& arrival, std::chrono::milliseconds limit) {
  const auto details = engine_.inspect_image(arrival.image.name(), {.limit = limit});
  if (!details) return false;
  const os::Lock lock(mutex_);
  return enter(arrival, *details);
}

bool PulledImages::enter(const Arrival& arrival, const docker::ImageDetails& details) {
  const std::int64_t now = os::unix_seconds(clock_.wall());
  const std::string name = arrival.image.name();
  const auto known = std::ranges::find(list_.images, name, &Image::reference);
  if (known != list_.images.end() && known->id == details.id) {
    known->last_use = now;
    return true;
  }
  if (known != list_.images.end()) {
    // The tag is another image's now; what it was before is still there, without a name.
    known->reference = known->id;
  } else if (arrival.before.present) {
    return false;  // the tag was another's before
  }
  const bool was_there = arrival.before.ids ? arrival.before.ids->contains(details.id) : !arrival.arrived.had_layers;
  if (was_there) return true;
  const std::string digest = details.digests.empty() ? arrival.arrived.digest : details.digests.front();
  list_.images.push_back({.reference = name,
                          .id = details.id,
                          .digest = digest.substr(digest.find('@') + 1),
                          .bytes = details.bytes,
                          .last_use = now});
  return true;
}

std::vector<Image> PulledImages::list() const {
  const os::Lock lock(mutex_);
  return list_.images;
}

std::set<std::string> PulledImages::names_in_pulls() const {
  const os::Lock lock(mutex_);
  std::set<std::string> names;
  for (const auto& [name, before] : before_) names.insert(name);
  for (const Arrival& arrival : arrivals_) names.insert(arrival.image.name());
  return names;
}

void PulledImages::take_back_times_ahead() {
  const std::int64_t now = os::unix_seconds(clock_.wall());
  const os::Lock lock(mutex_);
  bool changed = false;
  for (Image& image : list_.images) {
    if (image.last_use <= now) continue;
    image.last_use = now;
    changed = true;
  }
  if (changed) save();
}

void PulledImages::erase(const Image& image) {
  std::erase_if(list_.images, [&](const Image& one) { return one.reference == image.reference; });
}

void PulledImages::removed(const Image& image) {
  const os::Lock lock(mutex_);
  erase(image);
  ++removals_;
  list_.removed.push_back(
      {.reference = image.reference, .bytes = image.bytes, .time = os::unix_seconds(clock_.wall())});
  if (list_.removed.size() > kRemovedKept) list_.removed.erase(list_.removed.begin());
  save();
}

void PulledImages::forget(const Image& image) {
  const os::Lock lock(mutex_);
  erase(image);
  save();
}

}  // namespace dstack::shim::images
