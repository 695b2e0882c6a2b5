#include "shim/gpu/sick_gpus.h"

#include <spdlog/spdlog.h>

#include <format>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/json/object_reader.h"
#include "common/json/refusal.h"
#include "common/os/file.h"

namespace dstack::shim::gpu {

using dstack::json::ObjectReader;
using nlohmann::json;

SickGpus::SickGpus(std::filesystem::path file, std::string boot_id, std::function<void(const Sicknesses&)> changed,
                   os::Clock& clock)
    : file_(std::move(file)), boot_id_(std::move(boot_id)), changed_(std::move(changed)), clock_(clock) {
  Sicknesses known;
  {
    const os::Lock lock(mutex_);
    try {
      load();
    } catch (const std::exception& error) {
      spdlog::warn("Which GPUs were set aside is not known: {}", error.what());
    }
    for (const auto& [id, sickness] : state_.sick)
      spdlog::warn("GPU {} is set aside: {}", printable(id), printable(sickness.reason));
    known = state_.sick;
  }
  changed_(known);
}

void SickGpus::load() {
  if (!std::filesystem::exists(file_)) return;
  const json object = dstack::json::parse_object(os::read_file(file_));
  const ObjectReader reader(object);
  // Another start of the host is another chance.
  if (boot_id_.empty() || reader.string("boot_id") != boot_id_) return;
  state_.record = static_cast<std::uint64_t>(reader.integer("seen_record", 0, 0, INT64_MAX));
  reader.objects("gpus", [this](const ObjectReader& gpu) DSTACK_REQUIRES(mutex_) {
    const std::string id = gpu.string("id");
    const std::string reason = gpu.string("reason");
    if (!reason.empty()) state_.sick[id] = {.reason = reason, .since = gpu.integer("since")};
    state_.errors[id] = static_cast<std::uint64_t>(gpu.integer("seen_errors", 0, 0, INT64_MAX));
  });
}

void SickGpus::save() {
  json gpus = json::array();
  std::set<std::string> names;
  for (const auto& [id, sickness] : state_.sick) names.insert(id);
  for (const auto& [id, count] : state_.errors) names.insert(id);
  for (const std::string& id : names) {
    const auto sick = state_.sick.find(id);
    const auto errors = state_.errors.find(id);
    gpus.push_back({{"id", id},
                    {"reason", sick == state_.sick.end() ? "" : sick->second.reason},
                    {"since", sick == state_.sick.end() ? 0 : sick->second.since},
                    {"seen_errors", errors == state_.errors.end() ? 0 : errors->second}});
  }
  const json object{{"boot_id", boot_id_}, {"seen_record", state_.record}, {"gpus", std::move(gpus)}};
  try {
    os::write_file_atomic(file_, dstack::json::dump(object, 2, true) + "\n", 0600);
  } catch (const std::exception& error) {
    spdlog::warn("{}", error.what());
  }
}

Sicknesses SickGpus::all() const {
  const os::Lock lock(mutex_);
  return state_.sick;
}

bool SickGpus::has(const std::string& id) const {
  const os::Lock lock(mutex_);
  return state_.sick.contains(id);
}

void SickGpus::set_aside(const std::string& id, const std::string& reason) {
  Sicknesses known;
  std::function<void(const std::string&, const std::string&)> hear;
  {
    const os::Lock lock(mutex_);
    hear = hear_;
    const auto now = os::unix_seconds(clock_.wall());
    if (!state_.sick.try_emplace(id, Sickness{.reason = reason, .since = now}).second) return;
    save();
    known = state_.sick;
  }
  spdlog::error("GPU {} is set aside, no task gets it until a restart of the host or `dstack-shim gpu ok`: {}",
                printable(id), printable(reason));
  changed_(known);
  if (hear) hear(id, reason);
}

void SickGpus::on_set_aside(std::function<void(const std::string&, const std::string&)> hear) {
  const os::Lock lock(mutex_);
  hear_ = std::move(hear);
}

void SickGpus::accept(const std::string& id) {
  Sicknesses known;
  {
    const os::Lock lock(mutex_);
    if (state_.sick.erase(id) == 0)
      throw Error(ErrorKind::not_found, std::format("GPU {} is not set aside", printable(id)));
    save();
    known = state_.sick;
  }
  spdlog::warn("GPU {} is used again: a person says that it is well", printable(id));
  changed_(known);
}

std::uint64_t SickGpus::seen_record() const {
  const os::Lock lock(mutex_);
  return state_.record;
}

void SickGpus::set_seen_record(std::uint64_t number) {
  const os::Lock lock(mutex_);
  if (state_.record == number) return;
  state_.record = number;
  save();
}

std::uint64_t SickGpus::seen_errors(const std::string& id) const {
  const os::Lock lock(mutex_);
  const auto found = state_.errors.find(id);
  return found == state_.errors.end() ? 0 : found->second;
}

void SickGpus::set_seen_errors(const std::string& id, std::uint64_t count) {
  const os::Lock lock(mutex_);
  if (std::exchange(state_.errors[id], count) != count) save();
}

}  // namespace dstack::shim::gpu
