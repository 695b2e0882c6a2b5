#include "shim/doctor/examination.h"

#include <algorithm>
#include <condition_variable>
#include <format>
#include <optional>
#include <thread>

#include "common/error.h"
#include "common/os/mutex.h"
#include "common/os/thread.h"

namespace dstack::shim::doctor {

namespace {

// What the threads work on. It lives as long as the last of them, which may be longer than the examination.
struct Work {
  Work(std::vector<Check> what, Host where)
      : checks(std::move(what)), host(std::move(where)), findings(checks.size()) {}

  const std::vector<Check> checks;
  const Host host;
  os::Mutex mutex;
  std::condition_variable changed;
  std::vector<std::optional<Finding>> findings DSTACK_GUARDED_BY(mutex);
};

Finding look(const Check& check, const Host& host) {
  try {
    return check.look(host);
  } catch (const std::exception& error) {
    return warning(std::format("unknown: {}", error.what()), "fix that first (run as root?)");
  }
}

}  // namespace

bool Examination::is_broken() const {
  return std::ranges::any_of(results, [](const Result& result) { return result.finding.verdict == Verdict::broken; });
}

Examination examine(const std::vector<Check>& checks, const Host& host, std::chrono::nanoseconds limit) {
  const auto work = std::make_shared<Work>(checks, host);
  std::vector<std::thread> threads;
  threads.reserve(checks.size());
  for (std::size_t i = 0; i < checks.size(); ++i) {
    const auto report = [work, i](Finding finding) {
      const os::Lock lock(work->mutex);
      work->findings[i] = std::move(finding);
      work->changed.notify_all();
    };
    try {
      threads.push_back(
          os::start_thread("check something", [work, i, report] { report(look(work->checks[i], work->host)); }));
    } catch (const std::exception& error) {
      threads.emplace_back();
      report(broken(error.what(), "too many processes or threads run: see `ulimit -u`, TasksMax and pids.max"));
    }
  }
  os::Lock lock(work->mutex);
  const auto done = [&work]() DSTACK_REQUIRES(work->mutex) {
    return std::ranges::all_of(work->findings, [](const auto& finding) { return finding.has_value(); });
  };
  Examination examination;
  examination.unfinished = !host.clock->wait_until(lock.native(), work->changed, host.clock->now() + limit, done);
  for (std::size_t i = 0; i < checks.size(); ++i) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limit).count();
    examination.results.push_back(
        {.check = checks[i].name,
         .finding = work->findings[i].value_or(broken(std::format("no answer within {} s", seconds),
                                                      "something in the system hangs: `dmesg` may say what"))});
    // Whoever has answered is about to end; whoever has not may never.
    if (!work->findings[i] && threads[i].joinable()) threads[i].detach();
  }
  lock.unlock();
  for (std::thread& thread : threads) {
    if (thread.joinable()) thread.join();
  }
  return examination;
}

}  // namespace dstack::shim::doctor
