#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace dstack::shim::dcgm {

// What DCGM found wrong with something.
struct Incident {
  int system = 0;  // which of its watches: memory, PCIe, NVLink …
  int health = 0;  // 10 a warning, 20 a failure
  std::string error_message;
  int error_code = 0;
  int entity_group_id = 0;
  int entity_id = 0;

  friend bool operator==(const Incident&, const Incident&) = default;
};

struct HealthReport {
  int overall_health = 0;  // 0 all is well, 10 a warning, 20 a failure
  std::vector<Incident> incidents;

  friend bool operator==(const HealthReport&, const HealthReport&) = default;
};

// As the API has it.
nlohmann::json to_json(const HealthReport& report);
// Nothing for what to_json does not write.
std::optional<HealthReport> parse_report(const nlohmann::json& value);

// `later`, and before its incidents those of `earlier` that it does not repeat; the oldest are dropped beyond 1024.
HealthReport merge(const HealthReport& earlier, HealthReport later);

// What a server understands: it refuses an answer whole that has any other health in it. Nothing if the overall health
// is none of the three; incidents of another health are left out.
std::optional<HealthReport> for_server(HealthReport report);

}  // namespace dstack::shim::dcgm
