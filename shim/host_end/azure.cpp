#include "shim/host_end/azure.h"

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>

#include "common/json/object_reader.h"
#include "common/text/trim.h"
#include "shim/host_end/moment.h"

namespace dstack::shim::host_end {

namespace {

constexpr const char* kAzureHeader = "Metadata: true";
constexpr const char* kNamePath = "/metadata/instance/compute/name?api-version=2021-02-01&format=text";
constexpr const char* kEventsPath = "/metadata/scheduledevents?api-version=2020-07-01";

}  // namespace

std::optional<Notice> Azure::ask(const std::stop_token& stop) {
  if (machine_.empty()) machine_ = text::trim(client_.get(kNamePath, {kAzureHeader}, stop));
  const nlohmann::json answer = json::parse_object(client_.get(kEventsPath, {kAzureHeader}, stop));
  std::optional<Notice> notice;
  json::ObjectReader(answer).objects("Events", [&](const json::ObjectReader& event) {
    const std::string type = event.string("EventType");
    const bool takes_back = type == "Preempt" || type == "Terminate";
    const bool restarts = type == "Reboot" || type == "Redeploy";
    if (!takes_back && !restarts) return;
    if (!std::ranges::contains(event.strings("Resources"), machine_)) return;
    // One that takes the machine back counts before another.
    if (notice && (notice->final || restarts)) return;
    // NotBefore is empty once the event has begun.
    notice = {.cause = std::format("Azure {} this virtual machine{} ({})", takes_back ? "takes" : "restarts",
                                   takes_back ? " back" : "", type),
              .down_at = parse_http_moment(event.string("NotBefore")),
              .final = takes_back};
  });
  return notice;
}

}  // namespace dstack::shim::host_end
