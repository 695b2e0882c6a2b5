#include "shim/task/finisher.h"

#include <spdlog/spdlog.h>

#include <format>

#include "common/error.h"
#include "common/os/file.h"
#include "common/termination_reason.h"

namespace dstack::shim::task {

namespace {

using std::chrono::seconds;

constexpr int kLastLineCount = 5;
constexpr seconds kLastLinesLimit{5};
// A server waits 9 s for the answer to a terminate.
constexpr seconds kKillLimit{8};
constexpr seconds kKeepOutputLimit{30};

}  // namespace

Ending Finisher::ending_of(const TaskState& state, const docker::ContainerEnd& end, const std::stop_token& stop) const {
  // On cgroup v2 the engine says "out of memory" for any process of the container, and the job may have survived it.
  if (end.exit_code == 0) return {.reason = termination_reason::kDoneByRunner, .message = ""};
  std::string message;
  const auto add_line = [&message](std::string_view line) {
    if (!message.empty()) message += '\n';
    message += line;
  };
  const bool by_signal = end.exit_code && *end.exit_code > 128;
  if (end.out_of_memory) {
    add_line(end.exit_code == 137 ? "The container ran out of memory and was killed"
                                  : "A process of the container was killed: out of memory");
  }
  if (!state.boot_id.empty() && !boot_id_.empty() && state.boot_id != boot_id_) {
    add_line("The host was restarted while the task was running");
  } else if (end.engine_was_away && by_signal) {
    add_line("Docker was restarted while the task was running");
  }
  if (end.gone) add_line("The container was removed by someone else than dstack-shim");
  if (!end.error.empty()) add_line(end.error);
  if (end.exit_code) add_line(std::format("The container exited with status {}", *end.exit_code));
  try {
    if (!end.gone) {
      const docker::Call call{.stop = stop, .limit = kLastLinesLimit};
      for (const std::string& line : parts_.engine.last_lines(end.container_id, kLastLineCount, call)) add_line(line);
    }
  } catch (const std::exception& error) {
    spdlog::warn("Cannot read the last lines of container {}: {}", end.container_id, error.what());
  }
  return {.reason = termination_reason::kContainerExitedWithError, .message = std::move(message)};
}

void Finisher::stop_container(const TaskState& state, seconds grace, const std::stop_token& stop) const {
  if (!state.create_sent) return;
  if (state.status != TaskStatus::running) return remove_container(state, stop);
  const docker::Call call{.stop = stop, .limit = grace + kKillLimit};
  try {
    if (grace > seconds(0)) return parts_.engine.stop(state.container_id, grace, call);
    // A stop without grace sends two signals, which takes the engine some milliseconds more.
    parts_.engine.kill(state.container_id, call);
    // Docker answers when the container has ended.
    if (parts_.engine.is_podman(call)) parts_.engine.wait(state.container_id, call);
  } catch (const std::exception& error) {
    if (error_kind(error) != ErrorKind::not_found) throw;
  }
}

void Finisher::give_back_gpus(const TaskState& state) const {
  if (state.gpu_ids) parts_.gpus.give_back(*state.gpu_ids);
}

void Finisher::give_back_keys_and_volumes(const TaskState& state, const std::stop_token& stop) const {
  if (state.holds_keys) {
    try {
      parts_.keys.release(state.config.id);
    } catch (const std::exception& error) {
      spdlog::error("task {}: its host keys could not be removed; the next start of dstack-shim tries again: {}",
                    printable(state.config.id), error.what());
      if (on_keys_left_) on_keys_left_();
    }
  }
  if (state.holds_volumes) parts_.volumes.unmount(state.config.id, state.config.volumes, stop);
}

std::optional<docker::ContainerEnd> Finisher::end_of(const TaskState& state, const std::stop_token& stop) const {
  try {
    const auto container = parts_.engine.inspect(state.container_id, {.stop = stop, .limit = kLastLinesLimit});
    if (!container || !docker::has_ended(container->status)) return std::nullopt;
    return docker::ContainerEnd{
        .container_id = container->id, .exit_code = container->exit_code, .out_of_memory = container->out_of_memory};
  } catch (const std::exception& error) {
    spdlog::warn("Cannot read the exit status of container {}: {}", state.container_id, error.what());
    return std::nullopt;
  }
}

void Finisher::keep_logs(const TaskState& state, const std::stop_token& stop) const {
  std::function<void(int)> write_output;
  if (state.config.process() == ProcessKind::image && !state.container_id.empty()) {
    write_output = [&](int file) {
      const docker::Call call{.stop = stop, .limit = kKeepOutputLimit};
      parts_.engine.read_output(
          state.container_id,
          [file](std::string_view piece) {
            os::write_all(file, piece, "output.log");
            return true;
          },
          call);
    };
  }
  parts_.kept_logs->keep(state.container_name, store_.runner_folder(state.container_name),
                         store_.pull_log(state.container_name).parent_path(), write_output);
}

void Finisher::remove(const TaskState& state, const std::stop_token& stop) const {
  if (parts_.kept_logs != nullptr) keep_logs(state, stop);
  if (state.create_sent) remove_container(state, stop);
  resources_.release(state.config.id, stop);
  store_.remove(state.container_name);
}

void Finisher::remove_container(const TaskState& state, const std::stop_token& stop) const {
  // By its name, since the id may not have come to be known.
  const auto container = parts_.engine.inspect(state.container_name, {.stop = stop, .limit = kKillLimit});
  if (!container || !belongs_to(*container, state.config.id, store_)) return;
  parts_.engine.remove(container->id, {.stop = stop});
}

}  // namespace dstack::shim::task
