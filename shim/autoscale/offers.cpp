#include "shim/autoscale/offers.h"

#include <algorithm>
#include <array>
#include <format>
#include <nlohmann/json.hpp>
#include <numeric>

#include "common/command_error.h"
#include "common/exit_status.h"
#include "shim/client/text.h"

namespace dstack::shim::autoscale {

using nlohmann::json;
using server_api::FleetPlan;
using server_api::Offer;

namespace {

constexpr std::size_t kNamesShown = 3;
constexpr std::array kSizes = {"nano",     "micro",    "small",    "medium",   "large",    "xlarge",   "2xlarge",
                               "3xlarge",  "4xlarge",  "6xlarge",  "8xlarge",  "9xlarge",  "10xlarge", "12xlarge",
                               "16xlarge", "18xlarge", "24xlarge", "32xlarge", "48xlarge", "metal"};

// How many characters must be added, taken out or replaced.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

FleetPlan plan_with_types(server_api::Client& server, const Rule& rule, const std::vector<std::string>& types) {
  json spec = spec_of(rule, rule.wanted);
  json& configuration = spec["configuration"];
  configuration["spot_policy"] = "auto";
  if (types.empty()) {
    configuration.erase("instance_types");
  } else {
    configuration["instance_types"] = types;
  }
  return server.plan_fleet(spec);
}

// A plan holds the cheapest 50 offers, so the sizes of the family are asked for first.
std::vector<std::string> names_like(server_api::Client& server, const Rule& rule) {
  const std::string family = rule.instance_type.substr(0, rule.instance_type.find('.'));
  std::vector<std::string> family_types;
  family_types.reserve(std::size(kSizes));
  for (const char* size : kSizes) family_types.push_back(std::format("{}.{}", family, size));
  FleetPlan plan = plan_with_types(server, rule, family_types);
  if (plan.offers.empty()) plan = plan_with_types(server, rule, {});
  std::vector<std::string> names;
  names.reserve(plan.offers.size());
  for (const Offer& offer : plan.offers) names.push_back(offer.instance_type);
  return nearest(rule.instance_type, std::move(names));
}

CommandError refusal(const std::string& message) { return {exit_status::kBadData, message}; }

[[noreturn]] void explain_nothing(server_api::Client& server, const Rule& rule,
                                  const std::vector<std::string>& regions) {
  Rule elsewhere = rule;
  elsewhere.market = other(rule.market);
  if (server.plan_fleet(spec_of(elsewhere, rule.wanted)).total_offers > 0) {
    throw refusal(std::format("{} is offered {} only", rule.instance_type,
                              rule.market == Market::spot ? "on demand" : "as spot"));
  }
  const std::vector<std::string> names = names_like(server, rule);
  throw refusal(std::format(
      "{} is not an instance type that AWS offers here (regions {}){}; types outside the server's list need "
      "experimental_instance_types in the server's settings of AWS",
      rule.instance_type, client::legible(joined(regions)),
      names.empty() ? "" : std::format("; the nearest are {}", client::legible(joined(names)))));
}

}  // namespace

Offers offers_of(const FleetPlan& plan) {
  Offers offers;
  for (const Offer& offer : plan.offers) {
    offers.regions.push_back(offer.region);
    if (offer.price && (!offers.price || *offer.price < *offers.price)) offers.price = offer.price;
  }
  std::ranges::sort(offers.regions);
  const auto repeated = std::ranges::unique(offers.regions);
  offers.regions.erase(repeated.begin(), repeated.end());
  return offers;
}

std::string price_text(const std::optional<double>& price) { return price ? std::format("${:.3f}", *price) : "-"; }

std::string joined(const std::vector<std::string>& list, std::string_view separator) {
  std::string text;
  for (const std::string& item : list) {
    if (!text.empty()) text += separator;
    text += item;
  }
  return text;
}

Offers demand_offers(server_api::Client& server, const Rule& rule, const std::vector<std::string>& regions) {
  const FleetPlan plan = server.plan_fleet(spec_of(rule, rule.wanted));
  const Offers offers = offers_of(plan);
  if (plan.total_offers == 0) explain_nothing(server, rule, rule.regions.empty() ? regions : rule.regions);
  if (!plan.offers.empty() &&
      std::ranges::all_of(plan.offers, [](const Offer& offer) { return offer.availability == "no_quota"; })) {
    throw refusal(
        std::format("your AWS quota for {} is 0 in {}", rule.instance_type, client::legible(joined(offers.regions))));
  }
  return offers;
}

std::vector<std::string> nearest(const std::string& wanted, std::vector<std::string> names) {
  std::ranges::sort(names, [&](const std::string& a, const std::string& b) {
    return std::pair(edit_distance(wanted, a), a) < std::pair(edit_distance(wanted, b), b);
  });
  const auto repeated = std::ranges::unique(names);
  names.erase(repeated.begin(), repeated.end());
  if (names.size() > kNamesShown) names.resize(kNamesShown);
  return names;
}

}  // namespace dstack::shim::autoscale
