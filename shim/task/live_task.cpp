#include "shim/task/live_task.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <format>
#include <utility>

#include "common/error.h"
#include "common/reason.h"
#include "common/termination_reason.h"

namespace dstack::shim::task {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A server waits 9 s for an answer.
constexpr seconds kAnswerLimit{8};
constexpr seconds kStartLimit{60};  // for a client to attach to a container that it starts later
constexpr milliseconds kFirstPause{500};
constexpr milliseconds kLongestPause{30000};

}  // namespace

void LiveTask::begin(Secret registry_password) {
  const os::Lock lock(mutex_);
  registry_password_ = std::move(registry_password);
  begun_ = true;
  if (state_.status == TaskStatus::running && !state_.ending) tools_.watcher.watch(state_.container_id);
  ensure_worker();
}

TaskInfo LiveTask::info() const {
  const os::Lock lock(mutex_);
  return info_locked();
}

TaskInfo LiveTask::info_locked() const {
  TaskInfo info;
  info.id = state_.config.id;
  info.status = state_.status;
  if (state_.status == TaskStatus::terminated && state_.ending) {
    info.termination_reason = state_.ending->reason;
    info.termination_message = state_.ending->message;
  }
  info.ports = state_.ports;
  info.pull_progress = progress_;
  if (progress_ && state_.config.local && state_.status == TaskStatus::pulling)
    info.pull_activity = progress_->activity;
  info.container_name = state_.container_name;
  info.container_id = state_.container_id;
  info.gpu_ids = state_.gpu_ids;
  return info;
}

TaskDetails LiveTask::details(int runner_http_port) const {
  const os::Lock lock(mutex_);
  TaskDetails details{.info = info_locked(),
                      .name = state_.config.name,
                      .image_name = state_.config.image_name,
                      .local = state_.config.local,
                      .submitted_at = state_.submitted_at,
                      .runner_port = std::nullopt,
                      .process = state_.config.process(),
                      .ended_in = state_.ended_in,
                      .exit_code = state_.exit_code,
                      .start_failure = state_.start_failure};
  if (state_.status != TaskStatus::running || details.process == ProcessKind::image) return details;
  if (state_.config.network_mode == docker::NetworkMode::host) details.runner_port = runner_http_port;
  for (const docker::PortMapping& port : state_.ports.value_or(std::vector<docker::PortMapping>{})) {
    if (port.container == runner_http_port) details.runner_port = port.host;
  }
  return details;
}

TaskConfig LiveTask::config() const {
  const os::Lock lock(mutex_);
  return state_.config;
}

bool LiveTask::is_local() const {
  const os::Lock lock(mutex_);
  return state_.config.local;
}

std::optional<host::TaskContainer> LiveTask::container() const {
  const os::Lock lock(mutex_);
  if (state_.container_id.empty() || state_.status == TaskStatus::terminated) return std::nullopt;
  return host::TaskContainer{.id = state_.container_id,
                             .host_network = state_.config.network_mode == docker::NetworkMode::host};
}

bool LiveTask::may_make_container() const {
  const os::Lock lock(mutex_);
  return state_.status != TaskStatus::terminated && !state_.ending && !wanted_ending_;
}

bool LiveTask::has_container(const std::string& container_id) const {
  const os::Lock lock(mutex_);
  return state_.container_id == container_id;
}

TaskInfo LiveTask::terminate(Ending ending, seconds grace) {
  std::stop_source launch;
  std::stop_source attempt{std::nostopstate};
  os::Lock lock(mutex_);
  if (state_.status == TaskStatus::terminated) return info_locked();
  if (!wanted_ending_) {
    wanted_ending_ = std::move(ending);
    grace_ = grace;
  } else if (grace < grace_) {
    grace_ = grace;
    attempt = attempt_stop_;
  }
  launch = launch_stop_;
  urgent_ = true;
  ensure_worker();
  // What hears of a stop takes locks of its own.
  lock.unlock();
  launch.request_stop();
  attempt.request_stop();
  lock.lock();
  changed_.notify_all();
  wait_for(lock, grace + kAnswerLimit, "terminate",
           [this]() DSTACK_REQUIRES(mutex_) { return state_.status == TaskStatus::terminated; });
  return info_locked();
}

void LiveTask::remove() {
  os::Lock lock(mutex_);
  if (state_.status != TaskStatus::terminated) {
    throw Error(ErrorKind::conflict, std::format("task {} is {}: only a terminated one can be removed",
                                                 printable(state_.config.id), name_of(state_.status)));
  }
  removal_wanted_ = true;
  urgent_ = true;
  ensure_worker();
  changed_.notify_all();
  wait_for(lock, kAnswerLimit, "remove", [this]() DSTACK_REQUIRES(mutex_) { return removed_; });
}

void LiveTask::wait_for(os::Lock& lock, seconds limit, const char* what, const std::function<bool()>& done) {
  const std::uint64_t failures = failures_;
  const bool heard = tools_.clock.wait_until(
      lock.native(), changed_, tools_.clock.now() + limit,
      [&]() DSTACK_REQUIRES(mutex_) { return done() || failures_ != failures || exit_.stop_requested(); });
  if (done()) return;
  const std::string reason = exit_.stop_requested() ? "dstack-shim is shutting down"
                             : heard                ? failure_ + " (it is tried again)"
                                                    : std::format("not done within {} s (it continues)", limit.count());
  throw Error(ErrorKind::internal, std::format("{} task {}: {}", what, printable(state_.config.id), reason));
}

void LiveTask::start() {
  const os::Lock lock(mutex_);
  const auto& container = state_.config.container;
  if (!container || container->start != StartMoment::later || state_.status == TaskStatus::terminated) {
    throw Error(ErrorKind::conflict, std::format("task {} is not waiting to be started: it is {}",
                                                 printable(state_.config.id), name_of(state_.status)));
  }
  start_wanted_ = true;
  changed_.notify_all();
}

void LiveTask::await_start(const std::stop_token& stop) {
  os::Lock lock(mutex_);
  const auto done = [&]() DSTACK_REQUIRES(mutex_) { return start_wanted_ || stop.stop_requested(); };
  if (!tools_.clock.wait_until(lock.native(), changed_, tools_.clock.now() + kStartLimit, done)) {
    throw Error(ErrorKind::timed_out,
                std::format("the client did not start the container within {} s", kStartLimit.count()));
  }
  if (stop.stop_requested()) throw Error(ErrorKind::cancelled, "the task is being terminated");
}

bool LiveTask::begin_interruption(Ending ending) {
  const os::Lock lock(mutex_);
  if (interruption_ || state_.status == TaskStatus::terminated) return false;
  interruption_ = std::move(ending);
  return true;
}

std::optional<Ending> LiveTask::interruption() const {
  const os::Lock lock(mutex_);
  return state_.status == TaskStatus::terminated ? std::nullopt : interruption_;
}

void LiveTask::container_ended(const docker::ContainerEnd& end) {
  const os::Lock lock(mutex_);
  if (state_.status != TaskStatus::running) return;
  container_end_ = end;
  ensure_worker();
}

void LiveTask::abandon() {
  os::Lock lock(mutex_);
  const std::array stops{exit_, launch_stop_, attempt_stop_};
  lock.unlock();
  for (std::stop_source stop : stops) stop.request_stop();
  lock.lock();
  changed_.notify_all();
}

void LiveTask::ensure_worker() {
  if (!begun_ || working_ || exit_.stop_requested() || next_step() == Step::none) return;
  // It waits for the lock that is held here.
  tools_.threads.run([self = shared_from_this()] { self->work(); });
  working_ = true;
}

LiveTask::Step LiveTask::next_step() const {
  if (removed_) return Step::none;
  if (state_.status == TaskStatus::terminated) {
    if (removal_wanted_ || state_.removing || state_.config.remove_when_ended) return Step::remove;
    return unsaved_ ? Step::save : Step::none;
  }
  if (state_.ending || wanted_ending_ || container_end_) return Step::end;
  return state_.status == TaskStatus::pending ? Step::launch : Step::none;
}

void LiveTask::work() {
  os::Lock lock(mutex_);
  milliseconds pause{0};
  while (!exit_.stop_requested()) {
    const Step step = next_step();
    if (step == Step::none) break;
    urgent_ = false;
    lock.unlock();
    std::string failure;
    bool cancelled = false;
    try {
      perform(step);
    } catch (const Error& error) {
      failure = error.what();
      cancelled = error.kind() == ErrorKind::cancelled;
    } catch (const std::exception& error) {
      failure = reason_of(error);
    }
    lock.lock();
    if (failure.empty() || cancelled) {
      pause = milliseconds{0};
      continue;
    }
    spdlog::error("task {}: {}", printable(state_.config.id), failure);
    failure_ = std::move(failure);
    ++failures_;
    changed_.notify_all();
    pause = std::clamp(pause * 2, kFirstPause, kLongestPause);
    tools_.clock.wait_until(lock.native(), changed_, tools_.clock.now() + pause,
                            [this]() DSTACK_REQUIRES(mutex_) { return urgent_ || exit_.stop_requested(); });
  }
  working_ = false;
}

void LiveTask::perform(Step step) {
  switch (step) {
    case Step::none: return;
    case Step::launch: return launch();
    case Step::end: return end();
    case Step::remove: return remove_all();
    case Step::save: return save();
  }
}

void LiveTask::launch() {
  TaskState state = copy_state();
  Secret password;
  std::stop_token stop;
  {
    const os::Lock lock(mutex_);
    password = std::exchange(registry_password_, {});
    stop = launch_stop_.get_token();
  }
  const auto show_progress = [this](const docker::PullProgress& progress) {
    const os::Lock lock(mutex_);
    progress_ = progress;
  };
  try {
    tools_.launcher.launch(
        state, password, [this](const TaskState& next) { publish(next); }, show_progress,
        [this](const std::stop_token& stopped) { await_start(stopped); }, stop);
    spdlog::info("task {}: runs in container {}", printable(state.config.id), state.container_name);
    tools_.watcher.watch(state.container_id);
  } catch (const LaunchFailure& failure) {
    if (exit_.stop_requested()) return;
    spdlog::error("task {}: {}: {}", printable(state.config.id), failure.ending.reason, failure.ending.message);
    state.ending = failure.ending;
    publish_or_log(state);
  } catch (const std::exception& error) {
    // Cancelled. Why is among the wishes, or the process is about to leave.
    if (!stop.stop_requested() && !exit_.stop_requested()) {
      state.ending = {.reason = termination_reason::kExecutorError, .message = reason_of(error)};
      publish_or_log(state);
      return;
    }
    const os::Lock lock(mutex_);
    state_.container_id = state.container_id;
  }
}

void LiveTask::end() {
  TaskState state = copy_state();
  std::optional<docker::ContainerEnd> container_end;
  std::optional<Ending> container_end_ending;  // where that is known without a look at the container
  std::optional<Ending> wanted;
  seconds grace;
  std::stop_source attempt;
  {
    const os::Lock lock(mutex_);
    container_end = container_end_;
    wanted = wanted_ending_;
    // A job that was done before it could be stopped stays done.
    if (container_end && container_end->exit_code != 0 && interruption_) container_end_ending = interruption_;
    grace = grace_;
    attempt_stop_ = attempt;
  }
  // From here on a shorter grace or the process's end cancels.
  const std::stop_callback on_exit(exit_.get_token(), [&attempt] { attempt.request_stop(); });
  const std::stop_token stop = attempt.get_token();
  if (!state.ending) {
    // NOLINTBEGIN(bugprone-unchecked-optional-access): one of the three is what brought us here
    state.ending = container_end_ending ? *container_end_ending
                   : container_end      ? tools_.finisher.ending_of(state, *container_end, stop)
                                        : *wanted;
    // NOLINTEND(bugprone-unchecked-optional-access)
    publish_or_log(state);
  }
  if (!container_end) {
    tools_.finisher.stop_container(state, grace, stop);
    if (state.status == TaskStatus::running) container_end = tools_.finisher.end_of(state, stop);
  }
  if (container_end) {
    state.exit_code = container_end->exit_code;
    state.out_of_memory = container_end->out_of_memory;
  }
  state.ended_in = state.status;
  tools_.watcher.forget(state.container_id);
  // First, so that nothing that fails below keeps them.
  if (!state.gpus_given_back) {
    state.gpus_given_back = true;
    if (state.gpu_ids && !state.gpu_ids->empty()) publish_or_log(state);
    tools_.finisher.give_back_gpus(state);
  }
  tools_.finisher.give_back_keys_and_volumes(state, stop);
  state.given_back = true;
  state.become(TaskStatus::terminated);
  publish_or_log(state);
  spdlog::info("task {}: terminated, {}", printable(state.config.id), state.ending->reason);
}

void LiveTask::remove_all() {
  TaskState state = copy_state();
  if (!state.removing) {
    state.removing = true;
    // Removing makes room on a full disk.
    publish_or_log(state);
  }
  tools_.finisher.remove(state, exit_.get_token());
  on_removed_(state.config.id);
  spdlog::info("task {}: removed", printable(state.config.id));
  const os::Lock lock(mutex_);
  removed_ = true;
  changed_.notify_all();
}

void LiveTask::publish(const TaskState& state) {
  const TaskState before = copy_state();
  tools_.store.save(state, must_be_flushed(before, state) ? TaskStore::Flush::now : TaskStore::Flush::later);
  if (state.status == TaskStatus::running && before.status != TaskStatus::running && tools_.on_running)
    tools_.on_running(tools_.clock.now() - began_);
  const os::Lock lock(mutex_);
  state_ = state;
  unsaved_ = false;
  changed_.notify_all();
}

void LiveTask::publish_or_log(const TaskState& state) {
  try {
    publish(state);
  } catch (const std::exception& error) {
    // An end must not wait for a disk that is full or read-only. It is written once there is nothing else to do.
    spdlog::error("task {}: its journal is out of date: {}", printable(state.config.id), error.what());
    const os::Lock lock(mutex_);
    state_ = state;
    unsaved_ = true;
    changed_.notify_all();
  }
}

void LiveTask::save() {
  tools_.store.save(copy_state(), TaskStore::Flush::now);
  const os::Lock lock(mutex_);
  unsaved_ = false;
  spdlog::info("task {}: its journal is up to date again", printable(state_.config.id));
}

TaskState LiveTask::copy_state() const {
  const os::Lock lock(mutex_);
  return state_;
}

}  // namespace dstack::shim::task
