#include "shim/ci/ci_watch.h"

#include <algorithm>
#include <utility>

namespace dstack::shim::ci {

using namespace std::chrono_literals;

namespace {

constexpr std::chrono::seconds kLookPause = 5min;
constexpr std::chrono::seconds kFirstLookPause = 1s;
constexpr std::chrono::seconds kLongestLookPause = 60s;
// The agent reports each failed request, so it is over when it has reported none for a while.
constexpr std::chrono::seconds kQuietTime = 10s;

}  // namespace

void CiWatch::begin(bool agent_reports_connection) {
  agent_reports_connection_ = agent_reports_connection;
  is_reachable_ = true;
  is_refused_ = false;
  next_look_ = clock_.now() + kLookPause;
}

bool CiWatch::unreachable() {
  last_trouble_ = clock_.now();
  if (!std::exchange(is_reachable_, false)) return false;
  pause_ = kFirstLookPause;
  next_look_ = clock_.now();
  return true;
}

bool CiWatch::reachable() { return !std::exchange(is_reachable_, true); }

bool CiWatch::refused() {
  if (std::exchange(is_refused_, true)) return false;
  is_looking_ = true;
  return true;
}

std::optional<os::SteadyTime> CiWatch::next_look() const {
  return is_looking_ ? std::optional<os::SteadyTime>() : next_look_;
}

CiWatch::Finding CiWatch::take(Sight sight) {
  is_looking_ = false;
  const bool was_refused = std::exchange(is_refused_, false);
  if (sight == Sight::gone || (sight == Sight::unreachable && was_refused)) return Finding::gone;
  if (sight == Sight::token_refused) return Finding::token_refused;
  if (sight == Sight::listed) return take_listed(was_refused);
  next_look_ = clock_.now() + pause_;
  pause_ = std::min(pause_ * 2, kLongestLookPause);
  return Finding::nothing;
}

CiWatch::Finding CiWatch::take_listed(bool was_refused) {
  pause_ = kFirstLookPause;
  next_look_ = clock_.now() + kLookPause;
  if (was_refused) return Finding::refused_although_listed;
  if (is_reachable_ || agent_reports_connection_) return Finding::nothing;
  if (clock_.now() < last_trouble_ + kQuietTime) {
    next_look_ = last_trouble_ + kQuietTime;
    return Finding::nothing;
  }
  is_reachable_ = true;
  return Finding::reachable;
}

}  // namespace dstack::shim::ci
