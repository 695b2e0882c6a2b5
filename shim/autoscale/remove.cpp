#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>
#include <ostream>

#include "common/command_error.h"
#include "common/exit_status.h"
#include "shim/autoscale/autoscale.h"
#include "shim/autoscale/offers.h"
#include "shim/autoscale/report.h"
#include "shim/autoscale/rule.h"
#include "shim/autoscale/shrink.h"

namespace dstack::shim::autoscale {

namespace {

std::vector<Rule> chosen_rules(const AutoscaleCommand& command, const std::vector<Rule>& rules) {
  if (command.all) return rules;
  std::vector<Rule> chosen;
  std::vector<std::string> titles;
  for (const Rule& rule : rules) {
    if (rule.instance_type == command.instance_type) chosen.push_back(rule);
    titles.push_back(rule.title());
  }
  if (!chosen.empty()) return chosen;
  throw CommandError(exit_status::kFailed,
                     std::format("there is no rule for {}: {}", command.instance_type,
                                 titles.empty() ? "there are no rules" : "there are " + joined(titles)));
}

void remove_rule(const Rule& rule, Shrinking& shrinking, Session& session) {
  if (!rule.terminating) {
    Rule ending = rule;
    ending.wanted = 0;  // what is half removed is not enabled again
    if (rule.maximum != 0 || rule.wanted != 0) session.server.apply_fleet(spec_of(ending, 0), true);
    const Ended ended = shrinking.end_extra(rule.fleet, 0);
    report(ended, session);
    if (!ended.left.empty()) {
      session.talk << std::format("{} starts no more machines; remove it again once its jobs have ended\n",
                                  rule.title());
      return;
    }
  }
  shrinking.delete_fleet(rule);
  session.out << std::format("{} is removed\n", rule.title()) << std::flush;
}

}  // namespace

int remove(const AutoscaleCommand& command, Session& session) {
  const std::vector<Rule> rules = chosen_rules(command, rules_of(session.server.fleets()));
  if (rules.empty()) session.talk << "there are no rules\n";
  Consent consent(command.yes, session.ask);
  if (!command.drain) demand_consent(rules, session, consent);
  Shrinking shrinking(session.server, session.clock, consent, command.drain);
  return for_each_rule(rules, session, [&](const Rule& rule) { remove_rule(rule, shrinking, session); });
}

}  // namespace dstack::shim::autoscale
