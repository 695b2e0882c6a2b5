#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "common/http/client.h"
#include "common/os/clock.h"
#include "common/os/mutex.h"

namespace dstack::shim::dcgm {

struct ExporterSettings {
  std::vector<std::string> command;  // starts dcgm-exporter; its arguments are added
  int port = 10997;
  std::chrono::milliseconds interval{5000};
  std::filesystem::path counters_path;  // where its list of counters is written
};

// dcgm-exporter, as long as this lives: one thread starts it, and again when it has ended, ever less often. fetch() may
// be called from any thread.
class Exporter {
 public:
  // Throws Error if the counters cannot be written.
  explicit Exporter(ExporterSettings settings, os::Clock& clock = os::system_clock());
  Exporter(const Exporter&) = delete;
  Exporter& operator=(const Exporter&) = delete;
  // Kills it.
  ~Exporter();

  // Its metrics, which are fetched at most once an interval; a failure counts as a fetch too. Blocks for 10 s at most.
  // Throws Error.
  std::string fetch();

 private:
  void run(const std::stop_token& stop);
  std::string ask();

  const ExporterSettings settings_;
  os::Clock& clock_;
  http::Client client_;

  os::Mutex mutex_;  // held during a fetch, so that others wait for it
  bool fetched_ DSTACK_GUARDED_BY(mutex_) = false;
  os::SteadyTime fetched_at_ DSTACK_GUARDED_BY(mutex_);
  std::string text_ DSTACK_GUARDED_BY(mutex_);
  std::string failure_ DSTACK_GUARDED_BY(mutex_);  // why there is no text

  std::jthread thread_;
};

}  // namespace dstack::shim::dcgm
