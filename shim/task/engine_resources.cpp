#include "shim/task/engine_resources.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <format>

#include "common/error.h"
#include "shim/docker/container_spec.h"

namespace dstack::shim::task {

namespace {

// Of one call: the other tasks that want a network wait meanwhile.
constexpr std::chrono::seconds kCallLimit{10};

}  // namespace

std::set<EngineResources::Key> EngineResources::keys_of(const TaskConfig& config) {
  std::set<Key> keys;
  if (!config.container) return keys;
  const docker::ContainerSettings& settings = config.container->settings;
  if (!settings.network.empty()) keys.emplace(Kind::network, settings.network);
  for (const docker::VolumeMount& volume : settings.volumes) keys.emplace(Kind::volume, volume.name);
  return keys;
}

void EngineResources::make(const std::string& task_id, const TaskConfig& config, const std::stop_token& stop) {
  const std::set<Key> keys = keys_of(config);
  if (keys.empty()) return;
  const os::Lock making(making_);
  restore(task_id, config);
  for (const Key& key : keys) {
    const bool is_kept = key.first == Kind::volume && config.container && config.container->keeps(key.second);
    make_one(key, is_kept, stop);
  }
}

void EngineResources::restore(const std::string& task_id, const TaskConfig& config) {
  std::set<Key> keys = keys_of(config);
  if (keys.empty()) return;
  const os::Lock lock(mutex_);
  users_[task_id] = std::move(keys);
}

void EngineResources::make_one(const Key& key, bool keep, const std::stop_token& stop) {
  const docker::Call call{.stop = stop, .limit = kCallLimit};
  const auto& [kind, name] = key;
  if (engine_.find(kind, name, call)) return;
  std::map<std::string, std::string> labels;
  // Without the label it is never removed.
  if (!keep) labels.emplace(docker::kHomeLabel, home_);
  try {
    engine_.create(kind, name, labels, call);
  } catch (const std::exception& error) {
    // Another program has made it since it was looked for.
    if (error_kind(error) != ErrorKind::conflict || !engine_.find(kind, name, call)) throw;
  }
}

void EngineResources::release(const std::string& task_id, const std::stop_token& stop) {
  const os::Lock making(making_);
  std::set<Key> unused;
  {
    const os::Lock lock(mutex_);
    const auto user = users_.extract(task_id);
    if (user.empty()) return;
    unused = user.mapped();
    unused.merge(left_);
    left_.clear();
  }
  for (const Key& key : unused) {
    if (remove_one(key, stop)) continue;
    const os::Lock lock(mutex_);
    left_.insert(key);
  }
  if (stop.stop_requested()) {
    // Whoever takes the task up again does the rest.
    const os::Lock lock(mutex_);
    if (!left_.empty()) throw Error(ErrorKind::cancelled, "dstack-shim is shutting down");
  }
}

bool EngineResources::is_used(const Key& key) {
  const os::Lock lock(mutex_);
  return std::ranges::any_of(users_, [&key](const auto& user) { return user.second.contains(key); });
}

bool EngineResources::remove_one(const Key& key, const std::stop_token& stop) {
  if (is_used(key)) return true;
  const docker::Call call{.stop = stop, .limit = kCallLimit};
  const auto& [kind, name] = key;
  try {
    const auto found = engine_.find(kind, name, call);
    if (!found) return true;
    const auto label = found->labels.find(docker::kHomeLabel);
    if (label == found->labels.end() || label->second != home_) return true;
    engine_.remove(kind, found->id, call);
    return true;
  } catch (const std::exception& error) {
    spdlog::warn("{} (it is tried again later)", error.what());
    return false;
  }
}

void EngineResources::sweep(const std::stop_token& stop) {
  const os::Lock making(making_);
  for (const Kind kind : {Kind::network, Kind::volume}) {
    try {
      const std::string label = std::format("{}={}", docker::kHomeLabel, home_);
      for (const docker::EngineResource& resource : engine_.list(kind, label, {.stop = stop, .limit = kCallLimit})) {
        const Key key{kind, resource.name};
        if (remove_one(key, stop)) continue;
        const os::Lock lock(mutex_);
        left_.insert(key);
      }
    } catch (const std::exception& error) {
      if (!stop.stop_requested()) spdlog::warn("{}: the leftovers of earlier tasks are not removed", error.what());
    }
  }
}

}  // namespace dstack::shim::task
