#include "common/server_api/run_stopper.h"

#include <algorithm>

namespace dstack::server_api {

bool RunStopper::stop(const std::set<std::string>& names, const std::vector<Run>& runs) {
  bool is_first = false;
  std::vector<std::string> wanted;
  for (const std::string& name : names) {
    const bool is_new = stopped_.insert(name).second;
    const auto run = std::ranges::find(runs, name, &Run::name);
    const bool is_terminating = run != runs.end() && run->status == "terminating";
    if (is_new || !is_terminating) wanted.push_back(name);
    is_first = is_first || is_new;
  }
  if (!wanted.empty()) server_.stop_runs(wanted, true);
  return is_first;
}

}  // namespace dstack::server_api
