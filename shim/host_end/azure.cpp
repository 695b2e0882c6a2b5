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
    if (notice || (type != "Preempt" && type != "Terminate")) return;
    if (!std::ranges::contains(event.strings("Resources"), machine_)) return;
    // NotBefore is empty once the event has begun.
    notice = {.cause = std::format("Azure takes this virtual machine back ({})", type),
              .down_at = parse_http_moment(event.string("NotBefore"))};
  });
  return notice;
}

}  // namespace dstack::shim::host_end
