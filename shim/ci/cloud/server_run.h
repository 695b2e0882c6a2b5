#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>

#include "common/os/clock.h"
#include "common/server_api/client.h"

namespace dstack::shim::ci::cloud {

// A run as a dstack server shows it.
struct RunState {
  std::string status;      // pending submitted provisioning running terminating terminated failed done
  std::string job;         // of its last job submission: also pulling
  bool is_done = false;    // it ended, or is about to, as it should
  std::string reason;      // why it ended, in the server's words; may be empty
  std::string submission;  // which launcher has submitted it; empty: none

  bool has_started() const { return status == "running" && job == "running"; }
  bool is_over() const { return status == "terminated" || status == "failed" || status == "done"; }
  // Or is about to.
  bool has_ended() const { return status == "terminating" || is_over(); }
};

// What an answer to runs/get says.
RunState parse_run(const nlohmann::json& answer);

// A run of a launcher on a dstack server. While the server cannot be reached a call is made again, with growing pauses.
// Members throw Error: cancelled when `stop` ended it, server_api::Failure for a refusal.
class ServerRun {
 public:
  // `submission` marks the run as this launcher's.
  ServerRun(server_api::Account account, std::string name, std::string submission, os::Clock& clock,
            std::stop_token stop);

  const server_api::Account& account() const { return client_.account(); }
  void hide(const Secret& secret) { client_.hide(secret); }

  // Throws Error with the list of the project's backends if this is not among them.
  void check_backend(const std::string& backend);
  // How many offers of machines there are. Throws Error if there are none, or the project has no fleet for them.
  std::int64_t plan(const nlohmann::json& run_spec);
  // A request whose answer was lost is made again, unless the run is there.
  void submit(const nlohmann::json& run_spec);
  // Nothing if the server does not know it.
  std::optional<RunState> look();
  // Throws Error if a run of this name has not ended.
  void check_name();
  // Stops it, if it is this launcher's and has not ended. `patience` is for a server that cannot be reached.
  void stop(std::chrono::seconds patience);
  // Returns when it has ended, or is another's by now. Throws Error (timed_out).
  void await_end(std::chrono::seconds limit);

 private:
  nlohmann::json ask(const std::string& path, const nlohmann::json& body, std::string_view doing,
                     std::chrono::seconds patience);
  std::optional<RunState> look(std::chrono::seconds patience);

  server_api::Client client_;
  const std::string name_;
  const std::string submission_;
  os::Clock& clock_;
  const std::stop_token stop_;
};

}  // namespace dstack::shim::ci::cloud
