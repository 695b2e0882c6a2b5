#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "common/os/clock.h"
#include "common/os/event.h"
#include "common/os/mutex.h"
#include "common/os/unique_fd.h"
#include "shim/dcgm/health_report.h"

namespace dstack::shim::dcgm {

struct HealthLimits {
  std::chrono::milliseconds answer{3000};       // how long check() waits
  std::chrono::milliseconds patience{60000};    // after that a process that does not answer is killed
  std::chrono::milliseconds first_pause{5000};  // before it is started again; twice as long each time
  std::chrono::milliseconds longest_pause{std::chrono::minutes(10)};
  std::chrono::milliseconds interval{std::chrono::minutes(1)};  // DCGM is asked that often, also if no caller asks
};

// The GPUs' health, asked of DCGM in a process of its own (helper.c) that one thread looks after. A library that is
// absent, hangs or crashes costs an answer, nothing else; the process is started again, ever less often. It is asked
// every minute for GPUs that are lost.
//
// check() may be called from any thread.
class Health {
 public:
  // `command` starts the helper. `on_lost` hears the UUID of each GPU that DCGM reports as lost, once until it no
  // longer does, on the thread of this object; it must not throw or block.
  explicit Health(std::vector<std::string> command, os::Clock& clock = os::system_clock(), HealthLimits limits = {},
                  std::function<void(const std::string& uuid)> on_lost = {});
  Health(const Health&) = delete;
  Health& operator=(const Health&) = delete;
  // Kills the process.
  ~Health();

  // What DCGM has found since the last answer; nothing if it does not answer in time or says nothing that a server
  // understands. Incidents in an answer that came too late, or that no caller asked for, are the next answer, since
  // DCGM reports each but once.
  std::optional<HealthReport> check();

 private:
  class Process;

  void run(const std::stop_token& stop);
  // Until it has ended; returns whether it ever told of the GPUs' health.
  bool look_after(Process& process, const std::stop_token& stop);
  // Returns whether it was a report.
  bool take_line(const std::string& line);
  void take_report(std::optional<HealthReport> report);
  void take_lost(const nlohmann::json& uuids);
  // To the log, but not the same again and again.
  void tell(const std::string& trouble);
  // `due`: it is to be asked although no caller wants an answer.
  bool take_request(bool due);

  const std::vector<std::string> command_;
  os::Clock& clock_;
  const HealthLimits limits_;
  const std::function<void(const std::string&)> on_lost_;
  os::Event wake_;  // an event: somebody wants an answer, or this ends

  os::Mutex mutex_;
  std::condition_variable changed_;
  bool alive_ DSTACK_GUARDED_BY(mutex_) = false;   // there is a process
  bool wanted_ DSTACK_GUARDED_BY(mutex_) = false;  // it is to be asked
  bool asked_ DSTACK_GUARDED_BY(mutex_) = false;   // it has been asked and has not answered
  bool unread_ DSTACK_GUARDED_BY(mutex_) = false;  // last_ has something to tell that nobody has been told
  std::uint64_t answers_ DSTACK_GUARDED_BY(mutex_) = 0;
  std::optional<HealthReport> last_ DSTACK_GUARDED_BY(mutex_);

  // The thread's own.
  std::string told_;
  std::set<std::string> lost_;  // UUIDs

  std::jthread thread_;
};

}  // namespace dstack::shim::dcgm
