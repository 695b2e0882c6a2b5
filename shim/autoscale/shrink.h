#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "common/os/clock.h"
#include "common/server_api/client.h"
#include "common/server_api/run_stopper.h"
#include "shim/autoscale/consent.h"
#include "shim/autoscale/rule.h"

// Ending the machines of a rule that are more than its maximum.
namespace dstack::shim::autoscale {

// Those to end, in the order of ending: pending and provisioning ones without a job, then idle ones, then busy ones; of
// each the newest first.
struct Extra {
  std::vector<server_api::Instance> free;
  std::vector<server_api::Instance> busy;
};
// `in_use`: ids of instances that the server refused to delete because of a job.
Extra extra_instances(const std::vector<server_api::Instance>& instances, std::int64_t maximum,
                      const std::set<std::string>& in_use = {});

// The runs that hold these instances of a fleet.
std::vector<BusyInstance> with_runs(const std::vector<server_api::Instance>& busy, const std::string& fleet,
                                    const std::vector<server_api::Run>& runs);

// Those that would have to be stopped for this maximum.
std::vector<BusyInstance> busy_beyond(server_api::Client& server, const Rule& rule, std::int64_t maximum);

struct Ended {
  std::vector<std::string> instances;  // names of those that are terminating, terminated or gone
  std::vector<BusyInstance> left;      // with `drain`: those that end with their jobs
};

class Shrinking {
 public:
  // All of these outlive this object. `drain`: leave busy instances to end.
  Shrinking(server_api::Client& server, os::Clock& clock, Consent& consent, bool drain)
      : server_(server), clock_(clock), consent_(consent), drain_(drain), stopper_(server) {}

  // The fleet has its lower maximum already, so that nothing new starts. Throws CommandError (1): for runs that may not
  // be stopped, and for a busy instance that the server did not let go of within 120 s.
  Ended end_extra(const std::string& fleet, std::int64_t maximum);

  // Deletes the fleet and returns when it is gone. Throws CommandError (1) after 120 s.
  void delete_fleet(const Rule& rule);
  // Returns when a fleet that is being deleted is gone. Throws CommandError (1) after `limit`.
  void await_end(const Rule& rule, std::chrono::seconds limit);

 private:
  // Whether one was refused because of a job.
  bool delete_free(const std::string& fleet, const std::vector<server_api::Instance>& free);
  // Those of `runs` that hold these. Whether any was not stopped before.
  bool stop_runs(const std::vector<BusyInstance>& busy, const std::vector<server_api::Run>& runs);

  server_api::Client& server_;
  os::Clock& clock_;
  Consent& consent_;
  const bool drain_;
  server_api::RunStopper stopper_;
  std::set<std::string> in_use_;  // ids
};

}  // namespace dstack::shim::autoscale
