#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "common/os/clock.h"
#include "common/os/event.h"
#include "common/os/mutex.h"
#include "common/os/unique_fd.h"
#include "runner/logs/event_log.h"
#include "runner/logs/job_log.h"
#include "runner/logs/plain_text.h"

namespace dstack::runner {

// The thread that follows the job's raw output and makes plain text of it. It waits for growth and lets the output
// gather for a moment, and has a low priority, so that it costs the job's machine next to nothing, however many small
// writes there are.
class TextMaker {
 public:
  // Makes events of the pieces; called on the thread of this object. False when the disk has no room for them: it will
  // be called again with the same ones.
  using Commit = std::function<bool(const std::vector<Piece>&)>;

  TextMaker(JobLog& log, os::Clock& clock, Commit commit);
  TextMaker(const TextMaker&) = delete;
  TextMaker& operator=(const TextMaker&) = delete;
  ~TextMaker();

  // Waits until the log has ended and all its text has been handed to Commit.
  void wait_until_done();

 private:
  void run();
  bool advance();
  void pause(std::chrono::milliseconds length);
  void take_what_is_there();
  std::optional<std::size_t> read_some(std::size_t wanted);
  bool commit();
  void wait();
  bool wait_for(std::uint64_t size, std::optional<os::SteadyTime> deadline);

  JobLog& log_;
  os::Clock& clock_;
  Commit commit_;
  JobLog::Follower follower_;
  std::unique_ptr<os::Timer> timer_;
  os::Event stop_;
  PlainText text_;
  std::vector<char> buffer_;
  std::uint64_t taken_ = 0;  // up to where the text is made
  std::uint64_t seen_ = 0;   // up to where the output was looked at: what lies between waits for what follows it
  int failed_reads_ = 0;
  bool stopping_ = false;

  os::Mutex mutex_;
  std::condition_variable changed_;
  bool done_ DSTACK_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dstack::runner
