#include "shim/ci/cloud/run_spec.h"

#include <algorithm>
#include <array>
#include <format>
#include <nlohmann/json.hpp>

#include "common/text/letter_case.h"
#include "shim/ci/cloud/run_command.h"

namespace dstack::shim::ci::cloud {

using nlohmann::json;

namespace {

constexpr std::size_t kShortestRunName = 2;
constexpr std::size_t kLongestRunName = 41;
constexpr const char* kDefaultRegion = "us-west";

struct Size {
  const char* name;
  int cpus;
  int memory_gb;
  int gpus;  // instead of the two others
};
constexpr std::array kSizes = {Size{.name = "m", .cpus = 8, .memory_gb = 16, .gpus = 1},
                               Size{.name = "l", .cpus = 32, .memory_gb = 64, .gpus = 4},
                               Size{.name = "xl", .cpus = 64, .memory_gb = 128, .gpus = 8}};

// CML's names of regions.
struct Region {
  const char* name;
  const char* aws;
  const char* azure;
};
constexpr std::array kRegions = {Region{.name = "us-east", .aws = "us-east-1", .azure = "eastus"},
                                 Region{.name = "us-west", .aws = "us-west-1", .azure = "westus2"},
                                 Region{.name = "eu-north", .aws = "eu-north-1", .azure = "northeurope"},
                                 Region{.name = "eu-west", .aws = "eu-west-1", .azure = "westeurope"}};

// Empty: the server may take any.
std::string region_of(const CloudFlags& flags) {
  const bool has_names = flags.backend == "aws" || flags.backend == "azure";
  if (flags.region.empty() && !has_names) return {};
  std::string region = flags.region.empty() ? kDefaultRegion : flags.region;
  const auto* const known = std::ranges::find(kRegions, region, &Region::name);
  if (known == kRegions.end() || !has_names) return region;
  return flags.backend == "aws" ? known->aws : known->azure;
}

// As the server names it; empty: none.
std::string gpu_of(const CloudFlags& flags) {
  const std::string gpu = text::lower_case(flags.gpu);
  if (gpu == "nogpu") return {};
  if (gpu == "k80") return "K80";
  if (gpu == "v100" || gpu == "tesla") return "V100";
  return flags.gpu;
}

json resources_of(const CloudFlags& flags) {
  json resources = json::object();
  const std::string gpu = gpu_of(flags);
  // A number: the server would take the word for a GPU's name.
  resources["gpu"] = gpu.empty() ? json(0) : json(gpu);
  const auto* const size = std::ranges::find(kSizes, flags.type, &Size::name);
  if (size != kSizes.end() && gpu.empty()) {
    resources["cpu"] = std::format("{}..", size->cpus);
    resources["memory"] = std::format("{}GB..", size->memory_gb);
  } else if (size != kSizes.end()) {
    resources["gpu"] = std::format("{}:{}", gpu, size->gpus);
  } else if (!flags.type.empty()) {
    // The instance type says it all, and the server's own lower bounds would rule small ones out.
    resources["cpu"] = "1..";
    resources["memory"] = "0GB..";
    resources["disk"] = "0GB..";
  }
  if (flags.hdd_size) resources["disk"] = std::format("{}GB..", *flags.hdd_size);
  return resources;
}

}  // namespace

std::optional<std::string> run_name_of(const std::string& runner) {
  const std::string name = text::lower_case(runner);
  const bool good =
      std::ranges::all_of(name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
  if (!good || name.size() < kShortestRunName || name.size() > kLongestRunName) return std::nullopt;
  return name[0] >= 'a' && name[0] <= 'z' ? std::optional(name) : std::nullopt;
}

json run_spec(const CloudFlags& flags, const RunRequest& request) {
  json configuration = {{"type", "task"},
                        {"name", request.name},
                        {"docker", true},
                        {"commands", request.commands},
                        {"env", request.variables},
                        {"volumes", {std::format("{}:{}", kShimOfInstance, kShimOfInstance)}},
                        {"resources", resources_of(flags)},
                        {"backends", {flags.backend}},
                        {"spot_policy", flags.spot ? "spot" : "on-demand"},
                        {"max_duration", "off"},
                        {"idle_duration", 0}};
  if (const std::string region = region_of(flags); !region.empty()) configuration["regions"] = {region};
  const bool is_instance_type = !flags.type.empty() && !std::ranges::contains(kSizes, flags.type, &Size::name);
  if (is_instance_type) configuration["instance_types"] = {flags.type};
  if (flags.spot && flags.spot_price) configuration["max_price"] = *flags.spot_price;
  return {{"run_name", request.name}, {"configuration", configuration}, {"ssh_key_pub", request.ssh_public_key}};
}

}  // namespace dstack::shim::ci::cloud
