#include "runner/join/progress.h"

#include <spdlog/spdlog.h>

#include <functional>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/os/file.h"
#include "common/server_api/time.h"

namespace dstack::runner::join {

using nlohmann::json;

Progress::Progress(Places places, os::Clock& clock)
    : places_(std::move(places)),
      clock_(clock),
      values_({{"way_in", {{"state", "down"}, {"since", server_api::rfc3339(clock.wall())}, {"reason", ""}}},
               {"fleet", ""},
               {"instance", ""},
               {"reason", ""},
               {"server_problem", ""},
               {"programs", ""},
               {"failed", ""}}) {
  change([](json&) {});
}

void Progress::way_in(bool open, const std::string& reason) {
  change([&](json& values) {
    json& way = values["way_in"];
    const char* state = open ? "open" : "down";
    if (way["state"] != state) {
      spdlog::info("The way in is {}{}{}", state, reason.empty() ? "" : ": ", reason);
      way["since"] = server_api::rfc3339(clock_.wall());
    }
    way["state"] = state;
    way["reason"] = reason;
  });
}

void Progress::fleet(const std::string& fleet, const std::string& instance, const std::string& reason) {
  change([&](json& values) {
    if (values["fleet"] != fleet || values["instance"] != instance) {
      spdlog::info("The server has the fleet as {}, this host as {}{}{}", fleet.empty() ? "absent" : fleet,
                   instance.empty() ? "absent" : instance, reason.empty() ? "" : ": ", reason);
    }
    values["fleet"] = fleet;
    values["instance"] = instance;
    values["reason"] = reason;
  });
}

void Progress::server_problem(const std::string& reason) {
  change([&](json& values) {
    if (!reason.empty() && values["server_problem"] != reason) spdlog::warn("{}", reason);
    values["server_problem"] = reason;
  });
}

void Progress::programs(const std::string& problem) {
  change([&](json& values) { values["programs"] = problem; });
}

void Progress::failed(const std::string& reason) {
  spdlog::error("{}", reason);
  change([&](json& values) { values["failed"] = reason; });
}

bool Progress::way_is_open() const {
  const os::Lock lock(mutex_);
  return values_["way_in"]["state"] == "open";
}

void Progress::change(const std::function<void(json&)>& what) {
  const os::Lock lock(mutex_);
  const json before = values_;
  what(values_);
  std::error_code failure;
  if (values_ == before && std::filesystem::exists(places_.progress(), failure)) return;
  try {
    os::replace_file(places_.progress(), dstack::json::dump(values_, 2) + "\n", 0600);
  } catch (const std::exception& error) {
    spdlog::warn("{}", error.what());
  }
}

std::optional<json> read_progress(const Places& places) {
  const auto text = os::try_read_file(places.progress());
  if (!text) return std::nullopt;
  json values = json::parse(*text, nullptr, false);
  if (!values.is_object()) return std::nullopt;
  return values;
}

}  // namespace dstack::runner::join
