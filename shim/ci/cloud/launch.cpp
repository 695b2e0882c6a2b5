#include "shim/ci/cloud/launch.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <format>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "common/command_error.h"
#include "common/exit_status.h"
#include "common/os/event.h"
#include "common/os/signals.h"
#include "shim/ci/cloud/online.h"
#include "shim/ci/cloud/run_command.h"
#include "shim/ci/cloud/run_spec.h"
#include "shim/ci/cloud/server_run.h"
#include "shim/ci/cloud/ssh_key.h"

namespace dstack::shim::ci::cloud {

using namespace std::chrono_literals;

namespace {

constexpr std::chrono::seconds kBeginningPatience = 10min;  // with a CI that cannot be reached
constexpr std::chrono::seconds kRemovalPatience = 2min;

// The first signal ends the work, the second the removal of what was made, the third this process.
class SignalWatch {
 public:
  explicit SignalWatch(const os::UniqueFd& signals) : signals_(signals), thread_([this] { watch(); }) {}
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;
  ~SignalWatch() {
    over_.set();
    thread_.join();
  }

  std::stop_token work() const { return work_.get_token(); }
  std::stop_token removal() const { return removal_.get_token(); }

 private:
  void watch() {
    for (int count = 1;; ++count) {
      std::array<pollfd, 2> waiting{
          {{.fd = signals_.get(), .events = POLLIN, .revents = 0}, {.fd = over_.fd(), .events = POLLIN, .revents = 0}}};
      while (::poll(waiting.data(), waiting.size(), -1) < 0) {
      }
      if (waiting[0].revents == 0) return;
      const int number = os::next_signal(signals_);
      spdlog::info("{}: leaving", os::signal_name(number).value_or("a signal"));
      if (count == 1) work_.request_stop();
      if (count == 2) removal_.request_stop();
      if (count > 2) {
        spdlog::error("killed by a third signal: dstack-shim ci clean removes what was made");
        ::_exit(exit_status::kFailed);
      }
    }
  }

  const os::UniqueFd& signals_;
  std::stop_source work_;
  std::stop_source removal_;
  os::Event over_;
  std::thread thread_;
};

std::string new_submission() {
  std::random_device random;
  return std::format("{:08x}{:08x}", random(), random());
}

class Launch {
 public:
  Launch(LauncherSetup::Asked asked, server_api::Account account, Lines& lines, std::stop_token stop)
      : flags_(asked.flags),
        repo_(asked.repository.url()),
        token_(asked.token),
        name_(asked.name),
        run_name_(run_name_of(asked.name).value_or(asked.name)),
        account_(std::move(account)),
        lines_(lines),
        stop_(std::move(stop)),
        setup_(with_check(std::move(asked)), [](const std::string&) {}, clock_) {}

  // False: another runner does.
  bool run() {
    if (!setup_.prepare({.stop = stop_, .network = kBeginningPatience})) return false;
    ServerRun server(account_, run_name_, submission_, clock_, stop_);
    server.hide(token_);
    server.check_backend(flags_.cloud.backend);
    const std::int64_t offers = server.plan(spec(variables()));
    register_runner();
    server.hide(registration_.token);
    setup_.note_run({.url = account_.url, .project = account_.project, .name = run_name_, .submission = submission_});
    is_submitted_ = true;
    server.submit(spec(variables()));
    spdlog::info("Run {} is submitted to project {} at {}: {} offers", run_name_, account_.project, account_.url,
                 offers);
    await_online(server, run_name_, setup_.ci(), {.name = name_, .id = registration_.id}, clock_, stop_);
    return true;
  }

  void hand_over() {
    setup_.hand_over();
    lines_.status(
        "ready",
        {{"name", name_}, {"runner", id_json(registration_.id)}, {"run", run_name_}, {"project", account_.project}});
  }

  // What could not be removed; empty: nothing is left.
  std::string undo(const std::stop_token& stop) {
    std::string problems;
    const auto attempt = [&problems](const std::string& what, auto work) {
      try {
        work();
      } catch (const std::exception& error) {
        problems += std::format("; {}: {}", what, error.what());
      }
    };
    if (is_submitted_) {
      attempt(std::format("run {} may still run", run_name_), [&] {
        ServerRun server(account_, run_name_, submission_, clock_, stop);
        server.hide(token_);
        server.hide(registration_.token);
        server.stop(kRemovalPatience);
        setup_.forget_run();
      });
    }
    if (may_be_listed_) {
      attempt(std::format("runner {} may still be listed", name_), [&] {
        const Patience patience{.stop = stop, .network = kRemovalPatience};
        if (setup_.remove_runners(registration_.token, patience) == Removal::busy)
          throw Error(ErrorKind::conflict, "the CI says that it has a job");
      });
    }
    setup_.clean_up();
    return problems;
  }

 private:
  LauncherSetup::Asked with_check(LauncherSetup::Asked asked) {
    asked.check_name = [this] { ServerRun(account_, run_name_, submission_, clock_, stop_).check_name(); };
    return asked;
  }

  // The launcher in the run gets no token of the CI where the runner's own will do.
  bool registers_here() const { return setup_.driver() != "github" || flags_.single; }

  void register_runner() {
    may_be_listed_ = true;
    if (!registers_here()) return;
    // The launcher in the run cannot ask for it.
    if (setup_.driver() == "github")
      agent_offer_ = setup_.agent().offer({.stop = stop_, .network = kBeginningPatience});
    registration_ = setup_.register_runner({.stop = stop_, .network = kBeginningPatience});
  }

  std::map<std::string, std::string> variables() const {
    std::map<std::string, std::string> variables{{kSubmissionVariable, submission_}};
    if (!registers_here()) variables[kTokenVariable] = token_.reveal();
    if (!registration_.id.empty()) {
      variables[kRunnerVariable] = registration_.id;
      variables[kRunnerTokenVariable] = registration_.token.reveal();
    }
    if (!agent_offer_.empty()) variables[kAgentVariable] = agent_offer_;
    if (!flags_.cloud.startup_script.empty()) variables[kStartupVariable] = flags_.cloud.startup_script.reveal();
    return variables;
  }

  nlohmann::json spec(std::map<std::string, std::string> variables) const {
    return run_spec(flags_.cloud,
                    {.name = run_name_,
                     .commands = run_commands(flags_, {.name = name_, .driver = setup_.driver(), .repo = repo_}),
                     .variables = std::move(variables),
                     .ssh_public_key = ssh_key_});
  }

  os::Clock& clock_ = os::system_clock();
  const LauncherFlags flags_;
  const std::string repo_;
  const Secret token_;
  const std::string name_;
  const std::string run_name_;
  const std::string submission_ = new_submission();
  const server_api::Account account_;
  Lines& lines_;
  const std::stop_token stop_;
  LauncherSetup setup_;
  const std::string ssh_key_ =
      flags_.cloud.ssh_private.empty() ? throwaway_public_key() : public_half(flags_.cloud.ssh_private.reveal());
  bool is_submitted_ = false;
  bool may_be_listed_ = false;
  std::string agent_offer_;
  Registration registration_;
};

}  // namespace

int launch(LauncherSetup::Asked asked, server_api::Account account, const os::UniqueFd& signals, Lines& lines) {
  const SignalWatch watch(signals);
  Launch launch(std::move(asked), std::move(account), lines, watch.work());
  std::string failure;
  std::string reason = "signal";
  try {
    if (launch.run()) {
      launch.hand_over();
      return exit_status::kDone;
    }
    reason = "reuse";
  } catch (const std::exception& error) {
    if (!watch.work().stop_requested()) failure = error.what();
  }
  if (const std::string problems = launch.undo(watch.removal()); !problems.empty())
    failure = failure.empty() ? problems.substr(2) : failure + problems;
  if (failure.empty()) {
    lines.status("terminated", {{"reason", reason}});
    return exit_status::kDone;
  }
  spdlog::error("{}", failure);
  return exit_status::kFailed;
}

void check(const LauncherFlags& flags, const std::string& runner_name) {
  if (!run_name_of(runner_name)) {
    throw CommandError(exit_status::kBadFlag,
                       std::format("--name: with --cloud the name is that of a run, too: 2 to 41 of A-Z a-z 0-9 - with "
                                   "a letter first, not {}",
                                   printable(runner_name)));
  }
  if (flags.cloud.ssh_private.empty()) return;
  try {
    public_half(flags.cloud.ssh_private.reveal());
  } catch (const std::exception& error) {
    throw CommandError(exit_status::kBadFlag, std::format("--cloud-ssh-private: {}", error.what()));
  }
}

}  // namespace dstack::shim::ci::cloud
