#include "shim/ci/keeper.h"

#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <format>
#include <iostream>
#include <memory>
#include <optional>

#include "common/error.h"
#include "common/exit_status.h"
#include "common/os/child.h"
#include "common/os/clock.h"
#include "common/os/process_list.h"
#include "common/os/process_tree.h"
#include "common/os/reaper.h"
#include "common/os/signals.h"
#include "shim/ci/end_tasks.h"

extern char** environ;  // NOLINT(readability-redundant-declaration): musl declares it only for GNU

namespace dstack::shim::ci {

using namespace std::chrono_literals;

namespace {

constexpr std::chrono::milliseconds kKillPause = 50ms;
constexpr std::chrono::seconds kKillLimit = 5s;   // for processes that were killed to be gone
constexpr std::chrono::seconds kTasksLimit = 4s;  // for an own shim's tasks, once the launcher has gone

bool kill_descendants() {
  bool any = false;
  for (const os::ProcessEntry& process : os::find_descendants(::getpid(), os::list_processes())) {
    if (!process.alive()) continue;
    any = true;
    ::kill(process.pid, SIGKILL);
  }
  os::reap_orphans();
  return any;
}

// What is started while it is being killed is killed by the next look.
void kill_all() {
  os::Clock& clock = os::system_clock();
  const os::SteadyTime end = clock.now() + kKillLimit;
  while (kill_descendants() && clock.now() < end) os::pause(clock, kKillPause, {});
}

std::vector<std::string> own_environment() {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) variables.emplace_back(*entry);
  return variables;
}

int status_of(const os::ExitStatus& status) {
  return status.signal ? exit_status::of_signal(*status.signal) : status.code;
}

}  // namespace

int keep(const KeeperOptions& options) {
  os::ignore_broken_pipes();
  const os::UniqueFd signals = os::block_and_watch({SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGCHLD});
  os::adopt_orphans();
  os::ChildSpec spec;
  spec.arguments = options.program;
  spec.environment = own_environment();
  spec.output = os::ChildStream::to(STDOUT_FILENO);
  spec.errors = os::ChildStream::to(STDERR_FILENO);
  spec.dies_with_parent = true;
  spec.spare_group = true;
  os::Child program(spec);

  std::array<pollfd, 3> waiting{{{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                                 {.fd = signals.get(), .events = POLLIN, .revents = 0},
                                 {.fd = program.ended_fd(), .events = POLLIN, .revents = 0}}};
  while (true) {
    if (::poll(waiting.data(), waiting.size(), -1) < 0) continue;
    if (waiting[1].revents != 0) {
      const int number = os::next_signal(signals);
      if (number != SIGCHLD && number != SIGHUP) program.signal(number);
    }
    os::reap_orphans();
    if (waiting[2].revents != 0) {
      const auto status = program.try_wait();
      if (!status) continue;
      kill_all();
      return status_of(*status);
    }
    if (waiting[0].revents != 0) {
      if (options.shim_port != 0) {
        std::string problem;
        if (!end_tasks(options.shim_port, kTasksLimit, problem)) std::cerr << "dstack-shim: " << problem << "\n";
      }
      kill_all();
      return exit_status::kFailed;
    }
  }
}

}  // namespace dstack::shim::ci
