#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "common/exit_status.h"
#include "common/json/dump.h"
#include "shim/autoscale/autoscale.h"
#include "shim/autoscale/offers.h"
#include "shim/autoscale/rule.h"
#include "shim/client/columns.h"
#include "shim/client/text.h"

namespace dstack::shim::autoscale {

using nlohmann::json;

namespace {

struct ShownRule {
  Rule rule;
  Offers offers;
  bool offered = false;

  std::string state() const {
    if (!offered) return "no offers";
    return rule.is_off() ? "disabled" : "enabled";
  }
  const std::vector<std::string>& regions() const { return rule.regions.empty() ? offers.regions : rule.regions; }
};

std::string table_of(const std::vector<ShownRule>& rules) {
  client::Rows rows = {{"INSTANCE TYPE", "PURCHASE", "MAX", "RUNNING", "IDLE", "REGIONS", "PRICE", "STATE"}};
  for (const ShownRule& shown : rules) {
    const Rule& rule = shown.rule;
    const std::string regions = client::legible(joined(shown.regions(), ","));
    rows.push_back({rule.instance_type, name_of(rule.market), std::to_string(rule.wanted),
                    std::to_string(rule.active()), std::to_string(rule.count("idle")), regions.empty() ? "-" : regions,
                    price_text(shown.offers.price), shown.state()});
  }
  return client::in_columns(rows);
}

json enabled(const std::vector<ShownRule>& rules) {
  const auto off = std::ranges::count_if(rules, [](const ShownRule& shown) { return shown.rule.is_off(); });
  if (off == 0) return true;
  if (off == std::ssize(rules)) return false;
  return "mixed";
}

json object_of(const std::vector<ShownRule>& rules, const server_api::Backend* aws) {
  json list = json::array();
  for (const ShownRule& shown : rules) {
    const Rule& rule = shown.rule;
    list.push_back({{"instance_type", rule.instance_type},
                    {"purchase", name_of(rule.market)},
                    {"max", rule.wanted},
                    {"active", rule.active()},
                    {"busy", rule.count("busy")},
                    {"idle", rule.count("idle")},
                    {"regions", shown.regions()},
                    {"price", shown.offers.price ? json(*shown.offers.price) : json()},
                    {"state", shown.state()},
                    {"fleet", rule.fleet}});
  }
  const std::vector<std::string> regions = aws == nullptr ? std::vector<std::string>{} : aws->regions;
  return {{"enabled", enabled(rules)},
          {"aws", {{"configured", aws != nullptr}, {"regions", regions}}},
          {"rules", std::move(list)}};
}

}  // namespace

int show_rules(const AutoscaleCommand& command, Session& session) {
  const server_api::Project project = session.server.project();
  const server_api::Backend* aws = project.backend("aws");
  std::vector<ShownRule> rules;
  for (Rule& rule : rules_of(session.server.fleets())) {
    if (rule.terminating) continue;
    const server_api::FleetPlan plan = session.server.plan_fleet(spec_of(rule, rule.maximum));
    rules.push_back({.rule = std::move(rule), .offers = offers_of(plan), .offered = plan.total_offers > 0});
  }
  if (command.json) {
    session.out << dstack::json::dump(object_of(rules, aws), 2) << "\n";
    return exit_status::kDone;
  }
  session.out << table_of(rules) << std::flush;
  if (rules.empty()) session.talk << "there are no rules: dstack-shim autoscale allow\n";
  if (aws == nullptr) session.talk << "AWS is not configured for this project: dstack-shim aws configure\n";
  return exit_status::kDone;
}

}  // namespace dstack::shim::autoscale
