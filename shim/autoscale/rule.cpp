#include "shim/autoscale/rule.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <format>
#include <nlohmann/json.hpp>
#include <tuple>

#include "common/error.h"
#include "common/text/number.h"

namespace dstack::shim::autoscale {

using nlohmann::json;

namespace {

constexpr const char* kRuleTag = "dstack-autoscale";         // "m5.xlarge/spot"
constexpr const char* kMaximumTag = "dstack-autoscale-max";  // so that every member's enable and info know it
constexpr std::size_t kNameLimit = 41;                       // of a fleet
constexpr std::size_t kHashDigits = 8;

std::string hash_of(const std::string& text) {
  std::array<unsigned char, 32> hash{};
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), hash.data(), &size, EVP_sha256(), nullptr) != 1)
    throw Error(ErrorKind::internal, "compute a SHA-256 hash: libcrypto failed");
  std::string digits;
  for (const unsigned char byte : hash) digits += std::format("{:02x}", byte);
  return digits.substr(0, kHashDigits);
}

std::string tag(const server_api::Fleet& fleet, const char* name) {
  const auto found = fleet.tags.find(name);
  return found == fleet.tags.end() ? "" : found->second;
}

bool is_part(std::string_view text) {
  return !text.empty() && text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

}  // namespace

std::string name_of(Market market) { return market == Market::spot ? "spot" : "on-demand"; }

Market other(Market market) { return market == Market::spot ? Market::on_demand : Market::spot; }

std::string Rule::title() const { return std::format("{} {}", instance_type, name_of(market)); }

std::string Rule::fleet_name() const {
  std::string name = std::format("auto-{}-{}", instance_type, market == Market::spot ? "spot" : "od");
  std::ranges::replace(name, '.', '-');
  if (name.size() <= kNameLimit) return name;
  return name.substr(0, kNameLimit - kHashDigits - 1) + "-" + hash_of(name);
}

std::int64_t Rule::count(std::string_view status) const {
  return std::ranges::count(instances, status, &server_api::Instance::status);
}

std::int64_t Rule::active() const { return std::ranges::count_if(instances, &server_api::Instance::active); }

std::optional<Rule> rule_of(const server_api::Fleet& fleet) {
  const std::string said = tag(fleet, kRuleTag);
  const std::size_t slash = said.rfind('/');
  if (slash == std::string::npos) return std::nullopt;
  Rule rule{.instance_type = said.substr(0, slash)};
  const std::string market = said.substr(slash + 1);
  if (!looks_like_instance_type(rule.instance_type)) return std::nullopt;
  if (market != name_of(Market::spot) && market != name_of(Market::on_demand)) return std::nullopt;
  rule.market = market == name_of(Market::spot) ? Market::spot : Market::on_demand;
  rule.maximum = fleet.maximum.value_or(0);
  rule.wanted = text::parse_number<std::int64_t>(tag(fleet, kMaximumTag)).value_or(rule.maximum);
  rule.regions = fleet.regions;
  rule.idle_seconds = fleet.idle_seconds;
  rule.fleet = fleet.name;
  rule.fleet_id = fleet.id;
  rule.terminating = fleet.status == "terminating";
  rule.instances = fleet.instances;
  return rule;
}

std::vector<Rule> rules_of(const std::vector<server_api::Fleet>& fleets) {
  std::vector<Rule> rules;
  for (const server_api::Fleet& fleet : fleets) {
    if (auto rule = rule_of(fleet)) rules.push_back(std::move(*rule));
  }
  std::ranges::sort(rules, [](const Rule& a, const Rule& b) {
    return std::tuple(a.instance_type, name_of(a.market), a.fleet) <
           std::tuple(b.instance_type, name_of(b.market), b.fleet);
  });
  return rules;
}

json spec_of(const Rule& rule, std::int64_t maximum) {
  json configuration = {
      {"type", "fleet"},
      {"name", rule.fleet.empty() ? rule.fleet_name() : rule.fleet},
      {"nodes", {{"min", 0}, {"target", 0}, {"max", maximum}}},
      {"backends", json::array({"aws"})},
      {"instance_types", json::array({rule.instance_type})},
      {"spot_policy", name_of(rule.market)},
      {"tags",
       {{kRuleTag, std::format("{}/{}", rule.instance_type, name_of(rule.market))},
        {kMaximumTag, std::to_string(rule.wanted)}}},
  };
  if (rule.idle_seconds) {
    const std::int64_t seconds = *rule.idle_seconds;
    configuration["idle_duration"] =
        seconds > 0 && seconds % 60 == 0 ? json(std::format("{}m", seconds / 60)) : json(seconds);
  }
  if (!rule.regions.empty()) configuration["regions"] = rule.regions;
  return {{"configuration", configuration}, {"profile", {{"name", "default"}}}};
}

bool looks_like_instance_type(std::string_view text) {
  const std::size_t dot = text.find('.');
  return dot != std::string_view::npos && is_part(text.substr(0, dot)) && is_part(text.substr(dot + 1));
}

std::optional<std::int64_t> parse_duration(std::string_view text) {
  constexpr std::int64_t kLimit = 366LL * 24 * 3600;
  if (text.size() < 2) return std::nullopt;
  std::int64_t unit = 0;
  switch (text.back()) {
    case 's': unit = 1; break;
    case 'm': unit = 60; break;
    case 'h': unit = 3600; break;
    case 'd': unit = 24L * 3600; break;
    case 'w': unit = 7L * 24 * 3600; break;
    default: return std::nullopt;
  }
  const std::string_view digits = text.substr(0, text.size() - 1);
  const auto amount = text::is_digits(digits) ? text::parse_number<std::int64_t>(digits) : std::nullopt;
  if (!amount || *amount > kLimit / unit) return std::nullopt;
  return *amount * unit;
}

}  // namespace dstack::shim::autoscale
