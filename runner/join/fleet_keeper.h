#pragma once

#include <chrono>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "common/os/clock.h"
#include "common/server_api/types.h"
#include "runner/join/progress.h"
#include "runner/join/state.h"

namespace dstack::runner::join {

// What the agent asks of a dstack server. Members throw server_api::Failure.
class FleetServer {
 public:
  virtual ~FleetServer() = default;
  virtual std::optional<server_api::Fleet> fleet(const std::string& name) = 0;
  virtual void create(const nlohmann::json& spec) = 0;
  virtual void remove(const std::string& name) = 0;
};

// The fleet of this host, as `fleets/apply` takes it.
struct FleetTerms {
  std::string runner_id;
  std::string host_name;
  std::string container_program;  // the path of the shim's copy of the runner
  std::string public_key;
  Secret private_key;
  // Whether `leave` is at work: a fleet that it deletes is not made again.
  std::function<bool()> is_leaving = [] { return false; };
};
nlohmann::json fleet_spec(const State& state, const FleetTerms& terms);

// Whose fleet it is: the id in its environment. Empty for one that no runner has made.
std::string runner_id_of(const server_api::Fleet& fleet);
// The host that a fleet's runner has named, for messages; empty if it has not.
std::string host_name_of(const server_api::Fleet& fleet);

// Keeps one fleet with this one host in it at the server: makes it once the way in is open, makes it anew where the
// server has given the host up or has another address of it, and notices that somebody has deleted it. One thread uses
// it.
class FleetKeeper {
 public:
  // All outlive this object.
  FleetKeeper(FleetServer& server, StateFile& state, FleetTerms terms, Progress& progress, os::Clock& clock);

  struct Next {
    enum class What {
      look_again,  // after the pause, or when the way in has changed
      deleted,     // at the server: undo what joining has done
      failed,      // another runner has the name that was chosen
    };
    What what = What::look_again;
    std::chrono::seconds pause{60};
  };
  // One look at the server, and what follows from it. Does not throw for what the server says.
  Next look();

 private:
  Next look_at(const std::optional<server_api::Fleet>& fleet);
  Next look_at_ours(const server_api::Fleet& fleet);
  Next make();
  Next make_anew(const std::string& why);
  Next name_is_taken(const std::string& by);
  void change(const std::function<void(State&)>& what);

  FleetServer& server_;
  StateFile& file_;
  State state_;  // as of this look
  const FleetTerms terms_;
  Progress& progress_;
  os::Clock& clock_;
  std::chrono::seconds pause_before_next_;  // of making it anew; doubled each time
  std::optional<os::SteadyTime> not_made_before_;
  std::optional<os::SteadyTime> terminating_since_;  // while it was never live
};

}  // namespace dstack::runner::join
