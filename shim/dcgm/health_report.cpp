#include "shim/dcgm/health_report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace dstack::shim::dcgm {

namespace {

using nlohmann::json;

// As many as DCGM reports at once.
constexpr std::size_t kMostIncidents = 1024;

bool is_health(int value) { return value == 0 || value == 10 || value == 20; }

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
    HealthReport report{.overall_health = value.at("overall_health").get<int>()};
    for (const json& incident : value.at("incidents")) {
      report.incidents.push_back({.system = incident.at("system").get<int>(),
                                  .health = incident.at("health").get<int>(),
                                  .error_message = incident.at("error_message").get<std::string>(),
                                  .error_code = incident.at("error_code").get<int>(),
                                  .entity_group_id = incident.at("entity_group_id").get<int>(),
                                  .entity_id = incident.at("entity_id").get<int>()});
    }
    return report;
  } catch (const json::exception&) {
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
