#include "shim/ci/launcher.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <format>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

#include "common/command_error.h"
#include "common/exit_status.h"
#include "common/os/clock.h"
#include "common/os/command.h"
#include "common/os/signals.h"
#include "shim/ci/agent.h"
#include "shim/ci/background_work.h"
#include "shim/ci/cloud/launch.h"
#include "shim/ci/cloud/run_command.h"
#include "shim/ci/file_appears.h"
#include "shim/ci/infer.h"
#include "shim/ci/kept_program.h"
#include "shim/ci/launcher_setup.h"
#include "shim/ci/life.h"
#include "shim/ci/lines.h"
#include "shim/ci/mailbox.h"
#include "shim/ci/requests.h"

namespace dstack::shim::ci {

using namespace std::chrono_literals;

namespace {

constexpr std::chrono::seconds kBeginningPatience = 10min;  // with a CI that cannot be reached
constexpr std::chrono::seconds kRemovalPatience = 2min;
constexpr std::chrono::seconds kWithdrawalPatience = 5s;
constexpr std::chrono::hours kRenewalPatience =
    24h * 365;  // between two runners: the CI may be away for as long as it likes
constexpr std::chrono::milliseconds kNotePause = 100ms;

std::string random_name() {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device random;
  std::uniform_int_distribution<std::size_t> any(0, kLetters.size() - 1);
  std::string name = "cml-";
  for (int i = 0; i < 10; ++i) name += kLetters[any(random)];
  return name;
}

class Launcher final : public Life::Actions {
 public:
  Launcher(const LauncherSetup::Asked& asked, const os::UniqueFd& signals, Lines& lines)
      : name_(asked.name),
        lines_(lines),
        signals_(signals),
        setup_(
            asked, [this](const std::string& how) { mail_.post([this, how = how] { life_.shim_ended(how); }); },
            clock_),
        life_({.name = asked.name,
               .idle = asked.flags.idle.limit,
               .single = asked.flags.single,
               .runner_is_given = asked.given.has_value(),
               .rerun_lost_jobs = !asked.flags.no_retry},
              *this, clock_) {}

  int run() {
    life_.start();
    const auto timer = clock_.make_timer();
    while (!life_.exit_status()) {
      const auto deadline = life_.deadline();
      if (deadline) {
        timer->arm(*deadline);
      } else {
        timer->disarm();
      }
      std::array<pollfd, 4> waiting{{{.fd = signals_.get(), .events = POLLIN, .revents = 0},
                                     {.fd = mail_.fd(), .events = POLLIN, .revents = 0},
                                     {.fd = going_away_ ? going_away_->fd() : -1, .events = POLLIN, .revents = 0},
                                     {.fd = timer->fd(), .events = POLLIN, .revents = 0}}};
      if (::poll(waiting.data(), waiting.size(), -1) < 0) continue;
      if (waiting[0].revents != 0) take_signal();
      if (waiting[1].revents != 0) mail_.run_all();
      // What was posted may have ended the watch.
      if (waiting[2].revents != 0 && going_away_ && going_away_->appeared())
        life_.hurry("the machine is about to be shut down");
      if (deadline && clock_.now() >= *deadline && !life_.exit_status()) life_.time_passed();
    }
    // Waits for nothing: the keepers kill what is below them when this process is gone.
    const int status = life_.exit_status().value_or(exit_status::kDone);
    if (life_.was_killed()) ::_exit(status);
    return status;
  }

 private:
  using Result = BackgroundWork::Result;

  void take_signal() {
    const int number = os::next_signal(signals_);
    const bool first = !signalled_;
    signalled_ = true;
    life_.signal(os::signal_name(number).value_or("a signal"));
    if (!first) return;
    background_.run("ask systemd", [this]() -> Result {
      try {
        const auto state = os::run_command({.arguments = {"systemctl", "is-system-running"}, .limit = 10s});
        if (state.output.starts_with("stopping")) return [this] { life_.hurry("the machine is shutting down"); };
      } catch (const std::exception& error) {
        spdlog::debug("systemd is not asked: {}", error.what());
      }
      return [] {};
    });
  }

  // --- Life::Actions

  void prepare() override {
    background_.run("prepare", [this]() -> Result {
      try {
        if (!setup_.prepare(patience_at_beginning())) return [this] { life_.found_another(); };
        return [this] {
          watch_for_end_of_machine();
          life_.prepared(setup_.agent().manners());
        };
      } catch (const std::exception& error) {
        return failure(error, false);
      }
    });
  }

  void watch_for_end_of_machine() {
    try {
      going_away_.emplace(setup_.folder()->going_away());
    } catch (const std::exception& error) {
      spdlog::warn("{}", error.what());
    }
  }

  void register_runner() override {
    end_agent();
    const std::chrono::seconds network = registration_.id.empty() ? kBeginningPatience : kRenewalPatience;
    background_.run("register the runner", [this, network]() -> Result {
      try {
        Registration registration = setup_.register_runner({.stop = beginning_.get_token(), .network = network});
        return [this, registration = std::move(registration)] {
          registration_ = registration;
          life_.registered(registration.id);
        };
      } catch (const CiFailure& error) {
        return failure(error, !setup_.has_runners());
      } catch (const std::exception& error) {
        return failure(error, false);
      }
    });
  }

  // What it may still say is of no interest.
  void end_agent() {
    agent_.reset();
    ++agent_number_;
  }

  Result failure(const std::exception& error, bool nothing_made) {
    return [this, message = std::string(error.what()), nothing_made] { life_.failed(message, nothing_made); };
  }

  void give_up() override { beginning_.request_stop(); }

  void start_agent() override {
    const int number = ++agent_number_;
    try {
      agent_ = std::make_unique<KeptProgram>(
          setup_.agent().program(registration_),
          [this, number](const std::string& line) {
            mail_.post([this, number, line = line] {
              if (number == agent_number_) agent_wrote(line);
            });
          },
          [this, number](const os::ExitStatus& status) {
            mail_.post([this, number, status] {
              if (number == agent_number_) life_.agent_ended(setup_.agent().take_end(status));
            });
          });
    } catch (const std::exception& error) {
      mail_.post([this, message = std::string(error.what())] { life_.failed(message); });
    }
  }

  void agent_wrote(const std::string& line) {
    if (const auto warning = setup_.agent().warning_in(line)) spdlog::warn("agent: {}", *warning);
    life_.agent_said(setup_.agent().parse(line));
  }

  void withdraw_runner() override {
    const std::chrono::seconds network = setup_.agent().manners().withdraw_limit / 2;
    background_.run("withdraw the runner", [this, id = registration_.id, network]() -> Result {
      Removal removal = Removal::removed;
      try {
        removal = setup_.ci().withdraw(id, {.stop = background_.stop(), .network = network});
      } catch (const std::exception& error) {  // the runner is removed later, which then fails or not
        spdlog::debug("{}", error.what());
      }
      return [this, removal] { life_.withdrawn(removal); };
    });
  }

  void finish_agent() override { signal_agent(setup_.agent().finish_signal()); }
  void stop_agent() override { signal_agent(setup_.agent().stop_signal()); }
  void signal_agent(int number) {
    if (agent_) agent_->signal(number);
  }
  void kill_agent() override {
    if (agent_) agent_->kill();
  }

  void remove_runner() override {
    end_agent();
    background_.run("remove the runner", [this, own = registration_.token]() -> Result {
      const os::SteadyTime end = clock_.now() + kRemovalPatience;
      GrowingPause growing;
      while (true) {
        const auto left = std::chrono::duration_cast<std::chrono::seconds>(end - clock_.now());
        std::string problem;
        try {
          const Removal removal = setup_.remove_runners(own, {.stop = background_.stop(), .network = left});
          if (removal != Removal::busy) return [this, removal] { life_.removed(removal); };
          problem = "the CI says that it has a job";
        } catch (const CiFailure& error) {
          problem = error.what();
          if (error.is_token_refused()) return [this, problem] { life_.not_removed(problem, true); };
        } catch (const std::exception& error) {
          problem = error.what();
        }
        const std::chrono::seconds pause = growing.next();
        if (clock_.now() + pause > end || !os::pause(clock_, pause, background_.stop()))
          return [this, problem] { life_.not_removed(problem, false); };
      }
    });
  }

  void look_at_runner() override {
    background_.run("look at the runner", [this, id = registration_.id]() -> Result {
      Sight sight = Sight::listed;
      try {
        if (!setup_.is_listed(id, {.stop = background_.stop()})) sight = Sight::gone;
      } catch (const CiFailure& error) {  // another refusal says nothing about the runner
        if (error.is_token_refused()) sight = Sight::token_refused;
      } catch (const std::exception&) {
        sight = Sight::unreachable;
      }
      return [this, sight] { life_.seen(sight); };
    });
  }

  void rerun(const std::string& id) override {
    background_.run("run a job again", [this, id = id, job = describe(id)]() -> Result {
      RerunResult result = RerunResult::too_early;
      std::string message;
      try {
        const RerunAnswer answer = setup_.ci().rerun(job, {.stop = background_.stop()});
        if (answer.rerun == Rerun::started) result = RerunResult::started;
        if (answer.rerun == Rerun::not_needed) result = RerunResult::not_needed;
        message = answer.refusal;
      } catch (const CiFailure& error) {
        result = RerunResult::refused;
        message = error.what();
      } catch (const std::exception& error) {
        message = error.what();
      }
      return [this, id, result, message] { life_.reran(id, result, message); };
    });
  }

  void clean_up() override {
    end_agent();
    going_away_.reset();
    background_.run("clean up", [this]() -> Result {
      setup_.clean_up();
      return [this] { life_.cleaned_up(); };
    });
  }

  // --- lines

  CiJob describe(const std::string& id) {
    if (const auto known = jobs_.find(id); known != jobs_.end()) return known->second;
    return setup_.agent().job_finder(id)().value_or(CiJob{.id = id, .project = "", .pipeline = ""});
  }

  nlohmann::json job_fields(const CiJob& job) {
    nlohmann::json fields = {{"job", id_json(job.id)}};
    fields["pipeline"] = job.pipeline.empty() ? nlohmann::json() : id_json(job.pipeline);
    return fields;
  }

  void report_ready() override { lines_.status("ready", {{"name", name_}, {"runner", id_json(registration_.id)}}); }

  // The CI's own ids are known a moment after the agent has the job.
  void report_started(const std::string& id) override {
    const os::SteadyTime end = clock_.now() + setup_.agent().manners().describe_limit;
    background_.run("look up a job", [this, id = id, end, find = setup_.agent().job_finder(id)]() -> Result {
      while (!find() && clock_.now() < end) {
        if (!os::pause(clock_, kNotePause, background_.stop())) break;
      }
      return [this, id] { say_started(id); };
    });
  }

  void say_started(const std::string& id) {
    if (jobs_.contains(id)) return;
    const CiJob job = describe(id);
    jobs_[id] = job;
    lines_.status("job_started", job_fields(job));
  }

  void report_ended(const AgentEvent& end) override {
    say_started(end.job);
    nlohmann::json fields = job_fields(describe(end.job));
    fields["result"] = end.result;
    fields["seconds"] = end.seconds;
    lines_.status("job_ended", fields);
  }

  void report_terminated(const std::string& reason) override { lines_.status("terminated", {{"reason", reason}}); }
  void inform(const std::string& message) override { spdlog::info("{}", message); }
  void warn(const std::string& message) override { spdlog::warn("{}", message); }
  void fail(const std::string& message) override { spdlog::error("{}", message); }

  Patience patience_at_beginning() { return {.stop = beginning_.get_token(), .network = kBeginningPatience}; }

  os::Clock& clock_ = os::system_clock();
  const std::string name_;
  Lines& lines_;
  const os::UniqueFd& signals_;
  Mailbox mail_;
  std::stop_source beginning_;
  LauncherSetup setup_;
  Life life_;
  Registration registration_;
  std::unique_ptr<KeptProgram> agent_;
  int agent_number_ = 0;
  std::optional<FileAppears> going_away_;
  std::map<std::string, CiJob> jobs_;
  bool signalled_ = false;
  BackgroundWork background_{mail_};  // last: they end before what they use
};

}  // namespace

namespace {

// In a run of `ci-runner --cloud`: the runner that was registered there.
std::optional<GivenRunner> given_runner(const Variables& variables, const std::string& name) {
  const char* const id = variables(cloud::kRunnerVariable);
  const char* const token = variables(cloud::kRunnerTokenVariable);
  if (id == nullptr || token == nullptr || *id == '\0' || *token == '\0') return std::nullopt;
  const char* const offer = variables(cloud::kAgentVariable);
  return GivenRunner{.runner = {.id = id, .name = name, .token = Secret(token)},
                     .agent_offer = offer == nullptr ? "" : offer};
}

}  // namespace

int run_launcher(const LauncherFlags& flags) {
  // Before git is asked, which starts a thread.
  const os::UniqueFd signals = os::block_and_watch({SIGTERM, SIGINT, SIGQUIT, SIGHUP});
  const Variables variables = [](const char* name) -> const char* { return std::getenv(name); };
  LauncherSetup::Asked asked{.flags = flags,
                             .repository = {},
                             .driver = {},
                             .token = {},
                             .name = flags.name.empty() ? random_name() : flags.name,
                             .in_cloud_run = variables(cloud::kSubmissionVariable) != nullptr};
  asked.given = given_runner(variables, asked.name);
  if (!asked.given) asked.token = infer_token(flags.token, variables);
  asked.repository = infer_repository(flags.repo, variables, git_origin);
  asked.driver = infer_driver(flags.driver, asked.repository, variables);
  std::optional<server_api::Account> account;
  if (flags.cloud.is_wanted()) {
    cloud::check(flags, asked.name);
    account = cloud::find_account(flags.cloud);
  }
  Lines lines(flags.log_format, asked.repository.url(), os::system_clock());
  for (const std::string& warning : flags.warnings) spdlog::warn("{}", warning);
  if (account) return cloud::launch(std::move(asked), *std::move(account), signals, lines);
  return Launcher(asked, signals, lines).run();
}

}  // namespace dstack::shim::ci
