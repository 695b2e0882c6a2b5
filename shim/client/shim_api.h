#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/http/client.h"
#include "common/os/clock.h"

namespace dstack::shim::client {

// Between two looks at a task.
inline constexpr std::chrono::milliseconds kPollInterval{100};

// How far an image's pull has come.
struct PullView {
  std::int64_t downloaded = 0;  // bytes
  std::int64_t extracted = 0;
  std::int64_t total = 0;
  bool total_is_final = false;  // every layer's size is known
  std::string activity;         // "downloading", "unpacking", "waiting", "other"; empty: not known

  std::int64_t percent() const;  // of what is known of it
};

// A task as the shim tells of it.
struct TaskEntry {
  std::string id;
  std::string status;
  std::string termination_reason;
  std::string termination_message;
  std::string container_name;
  std::string container_id;
  std::vector<std::string> gpu_ids;
  std::optional<PullView> pull;
  // What only tasks() tells; an older shim does not.
  std::string name;
  std::string image;
  bool local = true;                         // no server's
  std::optional<std::int64_t> submitted_at;  // ms since the epoch
  std::optional<int> runner_port;            // on 127.0.0.1, while the container runs
  std::string process = "job";               // "job", "hold", "image"
  std::optional<int> exit_status;            // once it has ended: see exit_status_of() in task_details.h

  bool ended() const { return status == "terminated"; }
};

// When a line of a job's output was written, and where it is in it: see docs/api/shim.yaml.
struct LineTime {
  std::int64_t time = 0;  // ms since the epoch
  std::optional<std::uint64_t> begin;
  std::uint64_t end = 0;
};

// What a person has to know of a host beside its tasks.
struct HostState {
  std::optional<std::string> drained;  // why it takes no new tasks, which may be empty
  std::vector<std::string> sick_gpus;  // that are set aside: "GPU-1234: Xid 79 (fallen off the bus)"
};

struct TaskDetails;  // task_details.h

// A running shim, as a person's commands use it. Members throw Error with the shim's own words: not_found and conflict
// as it says, unavailable if none answers. One that has answered may be away for a while, as when it is replaced: what
// can be asked twice then waits for the next.
class ShimApi {
 public:
  explicit ShimApi(int port, os::Clock& clock = os::system_clock());

  void submit(const nlohmann::json& task);
  // All there are, in one request.
  std::vector<TaskEntry> tasks();
  TaskEntry task(const std::string& id);
  // Whether the host has any.
  bool has_gpus();
  // What only the engine knows is asked as well.
  TaskDetails details(const std::string& id);
  // The same as it was answered; it holds a secret, runner_token.
  nlohmann::json inspect(const std::string& id);
  // A piece of what the task's job has written, from `offset` on; empty at its end. Error (conflict) if no job has
  // begun.
  std::string output(const std::string& id, std::uint64_t offset);
  // The lines from number `first` on, some thousands at most; empty with an older shim.
  std::vector<LineTime> line_times(const std::string& id, std::uint64_t first);
  // Lets a container run that was asked for with "start": "later".
  void start(const std::string& id);
  // Returns when it is terminated.
  void terminate(const std::string& id, const std::string& reason, const std::string& message,
                 std::chrono::seconds grace);
  void remove(const std::string& id);
  // It takes no new tasks from then on, or takes them again.
  void drain(const std::string& reason);
  void undrain();
  // Nothing in it with an older shim.
  HostState host_state();
  // A GPU that is set aside is well.
  void accept_gpu(const std::string& id);
  // Of the engine that it uses, as "unix:///var/run/docker.sock"; empty if the shim does not say.
  std::string engine_address();

 private:
  enum class Again { yes, no };
  std::string call(const http::ClientRequest& request, Again again = Again::yes);
  http::ClientResponse send(const http::ClientRequest& request, Again again);
  nlohmann::json ask(const std::string& path);

  int port_;
  os::Clock& clock_;
  http::Client client_;
  bool has_answered_ = false;
};

}  // namespace dstack::shim::client
