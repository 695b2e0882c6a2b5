#include "shim/autoscale/report.h"

#include <algorithm>
#include <format>
#include <iterator>
#include <ostream>

#include "common/error.h"
#include "common/exit_status.h"
#include "common/text/escape.h"
#include "shim/client/text.h"

namespace dstack::shim::autoscale {

void report(const Ended& ended, Session& session) {
  for (const std::string& name : ended.instances) session.out << std::format("{} is ended\n", client::legible(name));
  for (const BusyInstance& instance : ended.left) session.out << std::format("{} ends with its job\n", instance.text());
  session.out << std::flush;
}

void demand_consent(const std::vector<Rule>& rules, Session& session, Consent& consent) {
  std::vector<BusyInstance> busy;
  for (const Rule& rule : rules) std::ranges::move(busy_beyond(session.server, rule, 0), std::back_inserter(busy));
  if (!busy.empty()) consent.demand(busy, "nothing was changed");
}

int for_each_rule(const std::vector<Rule>& rules, Session& session, const std::function<void(const Rule&)>& step) {
  int status = exit_status::kDone;
  for (const Rule& rule : rules) {
    try {
      step(rule);
    } catch (const std::exception& error) {
      session.talk << std::format("{}: {}\n", rule.title(), text::escape_controls(error.what())) << std::flush;
      status = exit_status::kFailed;
    }
  }
  return status;
}

}  // namespace dstack::shim::autoscale
