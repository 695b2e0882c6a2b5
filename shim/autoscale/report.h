#pragma once

#include <functional>
#include <vector>

#include "shim/autoscale/autoscale.h"
#include "shim/autoscale/rule.h"
#include "shim/autoscale/shrink.h"

namespace dstack::shim::autoscale {

// Prints the machines that have ended, and those that are left to end with their jobs.
void report(const Ended& ended, Session& session);

// Throws CommandError (1), with nothing changed, where ending all machines of these rules would stop runs and may not.
void demand_consent(const std::vector<Rule>& rules, Session& session, Consent& consent);

// A step for each of several rules. One that fails is reported, and the others are done all the same. Returns 0, or 1
// if one failed.
int for_each_rule(const std::vector<Rule>& rules, Session& session, const std::function<void(const Rule&)>& step);

}  // namespace dstack::shim::autoscale
