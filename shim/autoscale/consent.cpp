#include "shim/autoscale/consent.h"

#include <algorithm>
#include <format>

#include "common/command_error.h"
#include "common/exit_status.h"
#include "shim/autoscale/offers.h"
#include "shim/client/text.h"

namespace dstack::shim::autoscale {

std::string BusyInstance::text() const {
  if (runs.empty()) return client::legible(name);
  return client::legible(std::format("{} ({} {})", name, runs.size() == 1 ? "run" : "runs", joined(runs)));
}

void Consent::demand(const std::vector<BusyInstance>& instances, const std::string& state) {
  if (given_) return;
  std::vector<std::string> texts;
  for (const BusyInstance& instance : instances) {
    const std::string text = instance.text();
    if (!asked_.contains(text)) texts.push_back(text);
  }
  if (texts.empty()) return;
  if (!ask_) {
    throw CommandError(exit_status::kFailed, std::format("{} {} busy: --yes stops the runs, --drain lets them end; {}",
                                                         joined(texts), texts.size() == 1 ? "is" : "are", state));
  }
  if (!ask_(std::format("busy: {}\nStop the runs?", joined(texts)))) {
    throw CommandError(exit_status::kFailed, std::format("the runs were not stopped; {}", state));
  }
  asked_.insert(texts.begin(), texts.end());
}

}  // namespace dstack::shim::autoscale
