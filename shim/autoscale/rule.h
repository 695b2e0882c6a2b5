#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/server_api/types.h"

namespace dstack::shim::autoscale {

enum class Market { spot, on_demand };

// "spot", "on-demand": the server's words.
std::string name_of(Market market);
Market other(Market market);

// How many machines of one AWS instance type the server may start for jobs, on one market. A rule is a fleet of the
// server, which these commands know by its tags.
struct Rule {
  std::string instance_type;  // "m5.xlarge"
  Market market = Market::on_demand;
  std::int64_t wanted = 1;                   // the maximum while the rules are on; 0: it is being removed
  std::vector<std::string> regions;          // empty: all of the AWS account's
  std::optional<std::int64_t> idle_seconds;  // how long a machine without a job is kept

  // Of one that the server has.
  std::string fleet;
  std::string fleet_id;
  std::int64_t maximum = 0;  // now; 0 while the rules are off
  bool terminating = false;  // its fleet is being deleted
  std::vector<server_api::Instance> instances;

  std::string title() const;  // "m5.xlarge spot"
  std::string fleet_name() const;
  bool is_off() const { return maximum == 0; }
  bool is_being_removed() const { return terminating || wanted == 0; }
  std::int64_t count(std::string_view status) const;
  std::int64_t active() const;
};

// Nothing for a fleet that is not a rule.
std::optional<Rule> rule_of(const server_api::Fleet& fleet);
// By type, then market. Those whose fleet is being deleted are among them.
std::vector<Rule> rules_of(const std::vector<server_api::Fleet>& fleets);

// What the server is to make of it, with this maximum in force.
nlohmann::json spec_of(const Rule& rule, std::int64_t maximum);

// Whether it has the form of an instance type: "m5.xlarge".
bool looks_like_instance_type(std::string_view text);

// "90s", "5m", "2h", "1d", "1w" in seconds; nothing for any other text.
std::optional<std::int64_t> parse_duration(std::string_view text);

}  // namespace dstack::shim::autoscale
