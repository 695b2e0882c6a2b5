#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "common/server_api/client.h"
#include "shim/autoscale/rule.h"

namespace dstack::shim::autoscale {

// What AWS offers for a rule.
struct Offers {
  std::optional<double> price;       // the cheapest, in dollars an hour
  std::vector<std::string> regions;  // sorted
};

Offers offers_of(const server_api::FleetPlan& plan);
// "$0.058"; "-" where there is none.
std::string price_text(const std::optional<double>& price);
// "us-east-1, us-west-2"
std::string joined(const std::vector<std::string>& list, std::string_view separator = ", ");

// Asks the server what it could get; the server takes any text for an instance type, so this is what tells a wrong one.
// `regions` are those of the AWS account. Throws CommandError (65) that says why nothing can be got.
Offers demand_offers(server_api::Client& server, const Rule& rule, const std::vector<std::string>& regions);

// Up to three names that are most like `wanted`.
std::vector<std::string> nearest(const std::string& wanted, std::vector<std::string> names);

}  // namespace dstack::shim::autoscale
