#pragma once

#include <string>
#include <string_view>

namespace dstack::shim::ci {

// What belongs to one job, by name: each stage of a job is a process of its own, and finds what an earlier one made. Of
// another CI, or of another job, nothing has the same name.
class JobNames {
 public:
  // `ci` is the CI's URL.
  JobNames(std::string_view ci, std::string_view job);

  // What the ids of the job's tasks begin with.
  const std::string& task_prefix() const { return prefix_; }
  // "job", "helper", "service-1"
  std::string task(std::string_view role) const { return prefix_ + std::string(role); }
  std::string network() const { return "dstack-" + prefix_ + "net"; }
  // Of a volume that is removed with the job.
  std::string volume(std::string_view name) const { return "dstack-" + prefix_ + std::string(name); }

 private:
  std::string prefix_;
};

// The volume for caches, which outlives the jobs of a project.
std::string cache_volume(std::string_view ci, std::string_view project);

}  // namespace dstack::shim::ci
