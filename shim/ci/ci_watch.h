#pragma once

#include <chrono>
#include <optional>

#include "common/os/clock.h"

namespace dstack::shim::ci {

// What a look at the runner in the CI's list has shown.
enum class Sight { listed, gone, token_refused, unreachable };

// When a launcher looks for its runner in the CI's list, and what it makes of that and of the agent's words: whether
// the CI can be reached, and whether the runner is still there. A look is due every 5 minutes; while the CI cannot be
// reached, with growing pauses.
class CiWatch {
 public:
  explicit CiWatch(os::Clock& clock) : clock_(clock), last_trouble_(clock.now()) {}

  // For another runner and its agent. `agent_reports_connection`: it says when it has reached the CI again. Otherwise
  // it has when a look was answered and the agent has complained of nothing for a while.
  void begin(bool agent_reports_connection);

  // In the agent's words. Each returns true for news.
  bool unreachable();
  bool reachable();
  bool refused();  // a look is under way from now on

  // When a look is due; nothing while one is under way.
  std::optional<os::SteadyTime> next_look() const;
  void looking() { is_looking_ = true; }

  enum class Finding {
    nothing,
    reachable,                // again
    gone,                     // the runner is not listed, or the agent is refused and the CI does not answer
    refused_although_listed,  // the agent is
    token_refused,
  };
  Finding take(Sight sight);

  bool is_reachable() const { return is_reachable_; }
  // The agent is refused, and the look that follows is under way.
  bool is_refused() const { return is_refused_; }

 private:
  Finding take_listed(bool was_refused);

  os::Clock& clock_;
  bool agent_reports_connection_ = false;
  bool is_reachable_ = true;
  bool is_refused_ = false;
  bool is_looking_ = false;
  os::SteadyTime last_trouble_;
  std::chrono::seconds pause_{1};
  std::optional<os::SteadyTime> next_look_;
};

}  // namespace dstack::shim::ci
