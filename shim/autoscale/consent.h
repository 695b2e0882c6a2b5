#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace dstack::shim::autoscale {

// A machine with a job, and the runs that hold it.
struct BusyInstance {
  std::string name;
  std::vector<std::string> runs;  // may be empty: the server does not say which

  std::string text() const;  // "auto-m5-xlarge-spot-0 (run train)"
};

// Whether runs may be stopped: by --yes, or by the answer of a person, who is asked once for each.
class Consent {
 public:
  // Null where there is nobody to ask.
  using Ask = std::function<bool(const std::string& question)>;
  Consent(bool given, Ask ask) : given_(given), ask_(std::move(ask)) {}

  // Throws CommandError (1) where the runs of these may not be stopped; `state` says what was done by then.
  void demand(const std::vector<BusyInstance>& instances, const std::string& state);

 private:
  const bool given_;
  const Ask ask_;
  std::set<std::string> asked_;  // what was agreed to
};

}  // namespace dstack::shim::autoscale
