#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>
#include <ostream>

#include "common/exit_status.h"
#include "shim/autoscale/autoscale.h"
#include "shim/autoscale/report.h"
#include "shim/autoscale/rule.h"
#include "shim/autoscale/shrink.h"

namespace dstack::shim::autoscale {

namespace {

std::vector<Rule> kept_rules(Session& session) {
  std::vector<Rule> rules = rules_of(session.server.fleets());
  std::erase_if(rules, [](const Rule& rule) { return rule.is_being_removed(); });
  if (rules.empty()) session.talk << "there are no rules\n";
  return rules;
}

}  // namespace

int disable(const AutoscaleCommand& command, Session& session) {
  std::vector<Rule> rules = kept_rules(session);
  if (rules.empty()) return exit_status::kDone;
  std::erase_if(rules, [](const Rule& rule) { return rule.is_off() && rule.active() == 0; });
  if (rules.empty()) {
    session.out << "already disabled\n";
    return exit_status::kDone;
  }
  Consent consent(command.yes, session.ask);
  if (!command.drain) demand_consent(rules, session, consent);
  Shrinking shrinking(session.server, session.clock, consent, command.drain);
  return for_each_rule(rules, session, [&](const Rule& rule) {
    if (!rule.is_off()) session.server.apply_fleet(spec_of(rule, 0), true);
    report(shrinking.end_extra(rule.fleet, 0), session);
    session.out << std::format("{} is disabled\n", rule.title()) << std::flush;
  });
}

int enable(const AutoscaleCommand& /*command*/, Session& session) {
  std::vector<Rule> rules = kept_rules(session);
  if (rules.empty()) return exit_status::kDone;
  std::erase_if(rules, [](const Rule& rule) { return rule.maximum == rule.wanted; });
  if (rules.empty()) {
    session.out << "already enabled\n";
    return exit_status::kDone;
  }
  return for_each_rule(rules, session, [&](const Rule& rule) {
    session.server.apply_fleet(spec_of(rule, rule.wanted), true);
    session.out << std::format("{} is enabled: at most {}\n", rule.title(), rule.wanted) << std::flush;
  });
}

}  // namespace dstack::shim::autoscale
