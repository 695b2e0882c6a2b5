#pragma once

#include <filesystem>
#include <string>

#include "common/error.h"
#include "shim/ci/containers.h"
#include "shim/ci/gitlab/driver.h"
#include "shim/ci/gitlab/job_response.h"

namespace dstack::shim::ci::gitlab {

inline constexpr const char* kBuilds = "/builds";
inline constexpr const char* kCache = "/cache";
// The roles of the job's containers.
inline constexpr const char* kJobRole = "job";
inline constexpr const char* kHelperRole = "helper";

// A failure that the job is to blame for, and not this machine.
class BuildFailure : public Error {
 public:
  explicit BuildFailure(const std::string& message) : Error(ErrorKind::invalid, message) {}
};

// What all stages of a job know.
struct Job {
  const DriverOptions& options;
  const Environment& environment;
  JobResponse response;
  JobNames names;
  client::ShimApi shim;
  Containers containers;

  Job(const DriverOptions& driver_options, const Environment& variables, JobResponse job);
};

// The services, then the container that the job's scripts run in. Throws NoImage, Error.
void prepare(Job& job);

// Runs a script of the job; returns its exit status, as a shell reports it. Throws BuildFailure, Error.
int run_script(Job& job);

// Gives /builds to the user of the job's scripts.
void give_builds_to_user(Job& job, const client::TaskDetails& container, client::HeldRunner& runner);

}  // namespace dstack::shim::ci::gitlab
