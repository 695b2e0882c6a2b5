#include "shim/dcgm/health_report.h"

#include <algorithm>
#include <cstdint>
#include <format>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/error.h"

namespace dstack::shim::dcgm {

namespace {

using nlohmann::json;

// As many as DCGM reports at once.
constexpr std::size_t kMostIncidents = 1024;

bool is_health(int value) { return value == 0 || value == 10 || value == 20; }

// get<int>() would take a number that is not an integer, or too large.
int integer_at(const json& object, const char* name) {
  const json& value = object.at(name);
  if (!value.is_number_integer() || !std::in_range<int>(value.get<std::int64_t>()))
    throw Error(ErrorKind::invalid, std::format("{} is not an integer of 32 bits", name));
  return value.get<int>();
}

}  // namespace

json to_json(const HealthReport& report) {
  json incidents = json::array();
  for (const Incident& incident : report.incidents) {
    incidents.push_back({{"system", incident.system},
                         {"health", incident.health},
                         {"error_message", incident.error_message},
                         {"error_code", incident.error_code},
                         {"entity_group_id", incident.entity_group_id},
                         {"entity_id", incident.entity_id}});
  }
  return {{"overall_health", report.overall_health}, {"incidents", std::move(incidents)}};
}

std::optional<HealthReport> parse_report(const json& value) {
  try {
    HealthReport report{.overall_health = integer_at(value, "overall_health")};
    for (const json& incident : value.at("incidents")) {
      report.incidents.push_back({.system = integer_at(incident, "system"),
                                  .health = integer_at(incident, "health"),
                                  .error_message = incident.at("error_message").get<std::string>(),
                                  .error_code = integer_at(incident, "error_code"),
                                  .entity_group_id = integer_at(incident, "entity_group_id"),
                                  .entity_id = integer_at(incident, "entity_id")});
    }
    return report;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

HealthReport merge(const HealthReport& earlier, HealthReport later) {
  std::vector<Incident> incidents;
  for (const Incident& incident : earlier.incidents) {
    if (!std::ranges::contains(later.incidents, incident)) incidents.push_back(incident);
  }
  incidents.insert(incidents.end(), later.incidents.begin(), later.incidents.end());
  if (incidents.size() > kMostIncidents) incidents.erase(incidents.begin(), incidents.end() - kMostIncidents);
  return {.overall_health = std::max(earlier.overall_health, later.overall_health), .incidents = std::move(incidents)};
}

std::optional<HealthReport> for_server(HealthReport report) {
  if (!is_health(report.overall_health)) return std::nullopt;
  std::erase_if(report.incidents, [](const Incident& incident) { return !is_health(incident.health); });
  return report;
}

}  // namespace dstack::shim::dcgm
