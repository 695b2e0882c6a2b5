#include "shim/ci/lost_jobs.h"

#include <algorithm>

namespace dstack::shim::ci {

namespace {

constexpr std::chrono::seconds kRerunPause{5};
constexpr std::chrono::seconds kLongRerunPause{60};
constexpr std::chrono::minutes kShortLimit{5};
constexpr std::chrono::minutes kLongLimit{60};

}  // namespace

void LostJobs::add(const std::string& id) {
  const os::SteadyTime now = clock_.now();
  jobs_.push_back({.id = id, .next_try = now, .end_of_short_pauses = now + kShortLimit, .last_try = now + kLongLimit});
}

void LostJobs::hurry() {
  const os::SteadyTime limit = clock_.now() + kShortLimit;
  for (Job& job : jobs_) {
    job.last_try = std::min(job.last_try, limit);
    job.end_of_short_pauses = limit;
    job.next_try = std::min(job.next_try, clock_.now() + kRerunPause);
  }
}

std::vector<std::string> LostJobs::take_due() {
  std::vector<std::string> due;
  for (Job& job : jobs_) {
    if (job.asked || job.next_try > clock_.now()) continue;
    job.asked = true;
    due.push_back(job.id);
  }
  return due;
}

std::optional<os::SteadyTime> LostJobs::next() const {
  std::optional<os::SteadyTime> first;
  for (const Job& job : jobs_) {
    if (!job.asked && (!first || job.next_try < *first)) first = job.next_try;
  }
  return first;
}

bool LostJobs::settle(const std::string& id, RerunResult result) {
  const auto job = std::ranges::find(jobs_, id, &Job::id);
  if (job == jobs_.end()) return false;
  job->asked = false;
  job->next_try = clock_.now() + (clock_.now() < job->end_of_short_pauses ? kRerunPause : kLongRerunPause);
  if (result == RerunResult::too_early && job->next_try <= job->last_try) return false;
  jobs_.erase(job);
  return true;
}

}  // namespace dstack::shim::ci
