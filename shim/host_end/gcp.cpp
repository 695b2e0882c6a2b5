#include "shim/host_end/gcp.h"

#include <string>

#include "common/text/trim.h"

namespace dstack::shim::host_end {

namespace {

constexpr const char* kGoogleHeader = "Metadata-Flavor: Google";
constexpr const char* kFolder = "/computeMetadata/v1/instance/";

// How far ahead a notice comes. The service does not say when the machine goes down.
constexpr std::chrono::seconds kPreemptionLead{30};
constexpr std::chrono::seconds kMaintenanceLead{60};
constexpr std::chrono::minutes kGpuMaintenanceLead{60};

}  // namespace

std::optional<Notice> Gcp::ask(const std::stop_token& stop) {
  const auto value = [&](const char* name) {
    return std::string(text::trim(client_.get(std::string(kFolder) + name, {kGoogleHeader}, stop)));
  };
  // When something was seen first; nothing while it is not.
  const auto since = [this](std::optional<os::WallTime>& first, bool seen) {
    if (!seen) first.reset();
    if (seen && !first) first = clock_.wall();
    return first;
  };
  if (const auto first = since(preempted_since_, value("preempted") == "TRUE"))
    return Notice{.cause = "Google Cloud preempts this instance", .down_at = *first + kPreemptionLead};
  const bool stops = value("maintenance-event") == "TERMINATE_ON_HOST_MAINTENANCE";
  if (const auto first = since(maintenance_since_, stops)) {
    return Notice{.cause = "Google Cloud stops this instance for maintenance",
                  .down_at = *first + (has_gpus_ ? kGpuMaintenanceLead : kMaintenanceLead),
                  .final = !has_gpus_};
  }
  return std::nullopt;
}

}  // namespace dstack::shim::host_end
