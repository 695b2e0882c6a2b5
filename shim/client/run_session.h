#pragma once

#include <chrono>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "common/os/unique_fd.h"
#include "shim/client/run.h"
#include "shim/client/shim_api.h"

namespace dstack::shim::client {

// How a run ended, for the exit status and for --json.
struct RunEnd {
  int exit_status = 0;
  std::string reason;    // a termination reason; empty if it is not known or goes on
  bool started = false;  // the container ran
  bool goes_on = false;  // the task is left alone: detached
};

// What runs of both kinds share: the task, the person's signals, the wait for the container. Members throw Error as
// ShimApi's.
class RunSession {
 public:
  // `signals` (SIGINT, SIGTERM) and `options` outlive this object.
  RunSession(const RunOptions& options, const os::UniqueFd& signals);

  const RunOptions& options() const { return options_; }
  ShimApi& shim() { return shim_; }
  const std::string& id() const { return id_; }
  const std::string& name() const { return name_; }
  const os::UniqueFd& signals() const { return signals_; }
  // Where the command's output goes.
  int output_fd() const;

  void submit(const nlohmann::json& task);
  bool submitted() const { return submitted_; }

  // Shows how far the task has come until `is_there`; nothing if it ended before, or the person does not want to wait.
  // `ended` then has how the run ended.
  std::optional<TaskEntry> wait_for(const std::function<bool(const TaskEntry&)>& is_there, RunEnd& ended);
  // Returns once it has ended, or the person does not want to wait.
  RunEnd wait_for_end();
  // The end of a run whose task has ended by itself: by its container's exit status, else by why it was never started.
  // Says why on stderr if it is not a plain exit.
  RunEnd end_of(const TaskEntry& task);

  // Waits for a signal, or until the next look at the task.
  void pause(std::chrono::milliseconds limit = kPollInterval);
  void take_signal(int signal);
  bool interrupted() const { return signal_ != 0; }
  int interruptions() const { return interruptions_; }
  RunEnd interrupted_end() const;

  // Ends the task, and removes it if that was asked for. What fails is reported on stderr.
  void clean_up();

 private:
  const RunOptions& options_;
  const os::UniqueFd& signals_;
  ShimApi shim_;
  const std::string id_;
  const std::string name_;
  bool submitted_ = false;
  int signal_ = 0;  // the last one
  int interruptions_ = 0;
};

// A command that the runner runs as its job.
RunEnd run_job(RunSession& session, const nlohmann::json& job);
// The image's own program. With a stream the engine passes input and output on.
RunEnd run_plain(RunSession& session);

}  // namespace dstack::shim::client
