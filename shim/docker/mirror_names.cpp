#include "shim/docker/mirror_names.h"

#include <spdlog/spdlog.h>

#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/json/object_reader.h"
#include "common/json/refusal.h"
#include "common/os/file.h"
#include "shim/docker/image_reference.h"

namespace dstack::shim::docker {

using nlohmann::json;

namespace {

// A task that is terminated may wait for it.
constexpr std::chrono::seconds kRemovalLimit{5};

// As a pull from a mirror writes it: nothing else is ever removed.
bool is_name_at_mirror(const std::string& name) {
  try {
    const ImageReference image = parse_image_reference(name);
    return !image.digest.empty() && image.name() == name;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

MirrorNames::MirrorNames(std::filesystem::path file, EngineClient& engine) : file_(std::move(file)), engine_(engine) {
  const os::Lock lock(mutex_);
  try {
    load();
  } catch (const std::exception& error) {
    spdlog::warn("{}; names of images that an interrupted pull from a mirror has left are not removed", error.what());
  }
}

void MirrorNames::load() {
  if (!std::filesystem::exists(file_)) return;
  const json object = dstack::json::parse_object(os::read_file(file_));
  for (const json& name : object.value("names", json::array())) {
    if (name.is_string() && is_name_at_mirror(name.get<std::string>())) names_.emplace(name.get<std::string>(), 0);
  }
}

void MirrorNames::save() const {
  json names = json::array();
  for (const auto& [name, pulls] : names_) names.push_back(name);
  const json object{{"names", std::move(names)}};
  os::write_file_atomic(file_, dstack::json::dump(object, 2, true) + "\n", 0600);
}

void MirrorNames::add(const std::string& name) {
  const os::Lock lock(mutex_);
  const auto [entry, is_new] = names_.try_emplace(name, 0);
  if (is_new) {
    try {
      save();
    } catch (...) {
      names_.erase(entry);
      throw;
    }
  }
  ++entry->second;
}

bool MirrorNames::has(const std::string& name) const {
  const os::Lock lock(mutex_);
  return names_.contains(name);
}

void MirrorNames::remove(const std::string& name) {
  {
    const os::Lock lock(mutex_);
    const auto entry = names_.find(name);
    if (entry == names_.end() || --entry->second > 0) return;
  }
  remove_from_engine(name, {});
}

void MirrorNames::sweep(const std::stop_token& stop) {
  std::vector<std::string> left;
  {
    const os::Lock lock(mutex_);
    for (const auto& [name, pulls] : names_) {
      if (pulls == 0) left.push_back(name);
    }
  }
  for (const std::string& name : left) {
    if (stop.stop_requested()) return;
    if (remove_from_engine(name, stop)) spdlog::info("Image name {} was left by a pull from a mirror: removed", name);
  }
}

bool MirrorNames::remove_from_engine(const std::string& name, const std::stop_token& stop) {
  try {
    engine_.remove_image(name, {.stop = stop, .limit = kRemovalLimit});
  } catch (const std::exception& error) {
    spdlog::warn("Image name {} is left, and is tried again within an hour: {}", name, error.what());
    return false;
  }
  const os::Lock lock(mutex_);
  const auto entry = names_.find(name);
  // Another pull may have begun under it.
  if (entry == names_.end() || entry->second > 0) return true;
  names_.erase(entry);
  try {
    save();
  } catch (const std::exception& error) {
    spdlog::warn("{}", error.what());
  }
  return true;
}

}  // namespace dstack::shim::docker
