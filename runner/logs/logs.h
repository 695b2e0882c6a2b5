#pragma once

#include <spdlog/common.h>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/os/clock.h"

namespace dstack::runner {

class JobLog;

// One entry of a pull's job_states.
struct JobState {
  std::string state;  // "running", "done", "failed", "terminated"
  std::string termination_reason;
  std::string termination_message;
  std::optional<int> exit_status;
  // Not part of the API: "not_found" or "not_executable" where that kept the command from running, else empty.
  std::string start_failure = {};
  std::optional<int> signal = {};  // that ended it; not part of the API

  friend bool operator==(const JobState&, const JobState&) = default;
};

// Takes a piece of a page; false when its reader has gone.
using PieceSink = std::function<bool(std::string_view)>;
// Writes a page of the logs as JSON, a piece at a time, and counts it as handed over if its reader took all of it.
// Throws Error where the logs cannot be read.
using PageWriter = std::function<void(const PieceSink&)>;

// Everything a job and the runner say, kept on disk in the runner's temporary folder: the job's raw output, its plain
// text, the runner's own log lines, the job states; and what readers were told of it. Memory does not grow with it.
//
// The raw output, job.log, is the truth: append() does nothing but write it. A thread of this object follows the file
// and makes plain text of it; runner/api/log_stream.h sends it to WebSockets.
//
// All members may be called from any thread, append() from one thread at a time.
class Logs {
 public:
  // Starts with empty logs in `folder`, which exists: job.log and files whose names start with "job." or "runner.log.".
  // Throws Error.
  explicit Logs(const std::filesystem::path& folder, os::Clock& clock = os::system_clock());
  Logs(const Logs&) = delete;
  Logs& operator=(const Logs&) = delete;
  ~Logs();

  // For every read from the job's terminal. Never blocks on a reader, never throws. A full disk is told in the runner
  // log once; what does not fit is lost, and it goes on when there is room.
  void append(std::string_view output) noexcept;

  // Bytes of plain text an hour, counted from this call, the job's submission; 0: no limit.
  void set_quota(std::uint64_t bytes_an_hour);
  // Readable from the moment the quota is exceeded. Nothing beyond it is kept, append() drops what comes then.
  int quota_exceeded_fd() const;
  bool quota_exceeded() const;

  // A state that is not the last ("running").
  void add_state(const JobState& state);

  // Nothing is appended any more. Waits until all plain text is in (milliseconds): then quota_exceeded() has its last
  // value. finish() does the same; call this before where the state that ends the job hangs on that.
  void end_output();

  // The job is over and its terminal is at its end; also for a job that never ran. Waits until all plain text is in
  // (milliseconds), then adds the state that ends the job; from here on pulls say has_more = false once they have
  // handed over everything, and WebSockets end. Only the first call counts.
  void finish(const JobState& end);

  // Add it to the process's logger with log::add_sink: every line of the runner's log becomes an event of
  // runner_logs. Take it away before this object goes.
  spdlog::sink_ptr runner_log_sink();

  // The page of what is later than `after` (ms), read from disk as it is written.
  PageWriter pull(std::int64_t after, std::optional<std::int64_t> no_connections_secs);

  // True once the job is over, a pull has handed over everything, and no WebSocket is still on its way to the end.
  bool drained() const;
  // Becomes readable, and stays so, when drained() has become true.
  int drained_fd() const;
  // When a pull last had something to hand over; nothing if none ever had.
  std::optional<os::SteadyTime> last_handover() const;

  // The raw output, for those who follow it.
  JobLog& job_log();
  // Counts a WebSocket that has not reached the end: drained() waits for those.
  void reader_came();
  void reader_left();

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace dstack::runner
