#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/os/clock.h"

namespace dstack::shim::ci {

// How a request to run a lost job again has ended.
enum class RerunResult { started, not_needed, too_early, refused };

// Jobs that were cut off, until the CI runs them again. Each is asked for every 5 s for 5 minutes, then every minute
// for an hour: a CI may take its time to notice that an agent has died.
class LostJobs {
 public:
  explicit LostJobs(os::Clock& clock) : clock_(clock) {}

  void add(const std::string& id);
  bool empty() const { return jobs_.empty(); }
  // The launcher is leaving: nothing is asked for longer than 5 more minutes.
  void hurry();

  // Those to ask for now. Each is not due again until the result is known.
  std::vector<std::string> take_due();
  // When the next is due; nothing: none is.
  std::optional<os::SteadyTime> next() const;
  // Whether the job is done with: run again, refused, or tried for long enough. It is forgotten then.
  bool settle(const std::string& id, RerunResult result);

 private:
  struct Job {
    std::string id;
    os::SteadyTime next_try;
    os::SteadyTime end_of_short_pauses;
    os::SteadyTime last_try;
    bool asked = false;
  };

  os::Clock& clock_;
  std::vector<Job> jobs_;
};

}  // namespace dstack::shim::ci
