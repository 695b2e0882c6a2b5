#include <algorithm>
#include <chrono>
#include <format>
#include <nlohmann/json.hpp>
#include <ostream>

#include "common/command_error.h"
#include "common/exit_status.h"
#include "common/text/number.h"
#include "shim/autoscale/autoscale.h"
#include "shim/autoscale/offers.h"
#include "shim/autoscale/report.h"
#include "shim/autoscale/rule.h"
#include "shim/autoscale/shrink.h"
#include "shim/client/text.h"

namespace dstack::shim::autoscale {

using namespace std::chrono_literals;

namespace {

constexpr std::int64_t kDefaultIdleSeconds = 300;
constexpr std::chrono::seconds kOldFleetLimit = 60s;

std::vector<std::string> aws_regions(server_api::Client& server) {
  const server_api::Project project = server.project();
  const server_api::Backend* aws = project.backend("aws");
  if (aws != nullptr) return aws->regions;
  // A public project answers any user, who is not helped by a command that only its members may use.
  server.check_membership(project);
  throw CommandError(
      exit_status::kConfiguration,
      std::format("AWS is not configured for project {}: dstack-shim aws configure", server.account().project));
}

Rule wanted_rule(const AutoscaleCommand& command) {
  Rule rule{.instance_type = command.instance_type,
            .market = command.spot ? Market::spot : Market::on_demand,
            // NOLINTNEXTLINE(bugprone-unchecked-optional-access): it was checked with the other flags
            .wanted = text::parse_number<std::int32_t>(command.maximum).value(),
            .regions = command.regions,
            .idle_seconds = kDefaultIdleSeconds};
  if (!command.idle.empty()) rule.idle_seconds = parse_duration(command.idle);
  return rule;
}

std::vector<std::string> sorted(std::vector<std::string> list) {
  std::ranges::sort(list);
  const auto repeated = std::ranges::unique(list);
  list.erase(repeated.begin(), repeated.end());
  return list;
}

// The rule as it is at the server. Nothing if there is none. Throws for another fleet of that name.
std::optional<Rule> existing_rule(const std::vector<server_api::Fleet>& fleets, const Rule& wanted) {
  for (const server_api::Fleet& fleet : fleets) {
    const auto rule = rule_of(fleet);
    const bool same = rule && rule->instance_type == wanted.instance_type && rule->market == wanted.market;
    if (same) return rule;
    if (fleet.name == wanted.fleet_name()) {
      throw CommandError(exit_status::kFailed,
                         std::format("there is a fleet {} already that is not a rule for {}: rename or delete it",
                                     fleet.name, wanted.title()));
    }
  }
  return std::nullopt;
}

// What was not given stays as it is.
void keep_settings(Rule& rule, const AutoscaleCommand& command, const Rule& before) {
  if (command.regions.empty()) rule.regions = before.regions;
  if (command.idle.empty() || rule.idle_seconds == before.idle_seconds) {
    rule.idle_seconds = before.idle_seconds;
  } else {
    throw CommandError(exit_status::kFailed,
                       std::format("the server cannot change how long machines of {} stay idle: dstack-shim autoscale "
                                   "remove {}, then allow it with --idle {}",
                                   rule.title(), rule.instance_type, command.idle));
  }
  rule.fleet = before.fleet;
  rule.fleet_id = before.fleet_id;
  rule.instances = before.instances;
}

bool all_off(const std::vector<Rule>& rules) {
  const auto counts = [](const Rule& rule) { return !rule.is_being_removed(); };
  return std::ranges::any_of(rules, counts) &&
         std::ranges::all_of(rules, [&](const Rule& rule) { return !counts(rule) || rule.is_off(); });
}

std::string summary(const Rule& rule, const Offers& offers) {
  return std::format("{}: at most {}, from {} an hour in {}\n", rule.title(), rule.wanted, price_text(offers.price),
                     client::legible(joined(offers.regions)));
}

void say_how_runs_use_it(const Rule& rule, std::ostream& talk) {
  if (rule.market != Market::spot) return;
  talk << "a run takes spot machines only with spot_policy: spot or auto (its default is on-demand)\n";
}

}  // namespace

int allow(const AutoscaleCommand& command, Session& session) {
  server_api::Client& server = session.server;
  Rule rule = wanted_rule(command);
  const std::vector<std::string> regions = aws_regions(server);
  const auto fleets = server.fleets();
  Consent consent(command.yes, session.ask);
  Shrinking shrinking(server, session.clock, consent, command.drain);

  std::optional<Rule> before = existing_rule(fleets, rule);
  if (before && before->terminating) {
    shrinking.await_end(*before, kOldFleetLimit);
    before.reset();
  }
  if (before) keep_settings(rule, command, *before);
  const std::int64_t maximum = all_off(rules_of(fleets)) ? 0 : rule.wanted;
  const bool same_regions = before && sorted(rule.regions) == sorted(before->regions);
  const bool unchanged = same_regions && before->wanted == rule.wanted && before->maximum == maximum;
  const bool more = !same_regions || rule.wanted > before->wanted;

  if (unchanged && extra_instances(before->instances, maximum).free.empty() &&
      (command.drain || extra_instances(before->instances, maximum).busy.empty())) {
    session.out << std::format("{}: unchanged\n", rule.title());
    return exit_status::kDone;
  }
  // Fewer machines are always possible.
  std::optional<Offers> offers;
  if (more) offers = demand_offers(server, rule, regions);
  if (before && !command.drain) {
    const auto busy = busy_beyond(server, rule, maximum);
    if (!busy.empty()) consent.demand(busy, "nothing was changed");
  }
  if (!unchanged) server.apply_fleet(spec_of(rule, maximum), true);
  session.out << (offers ? summary(rule, *offers) : std::format("{}: at most {}\n", rule.title(), rule.wanted))
              << std::flush;
  if (maximum == 0)
    session.talk << "the rules are off: this one is stored, and on after dstack-shim autoscale enable\n";
  if (!before) say_how_runs_use_it(rule, session.talk);
  if (before) report(shrinking.end_extra(rule.fleet, maximum), session);
  return exit_status::kDone;
}

}  // namespace dstack::shim::autoscale
