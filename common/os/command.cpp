#include "common/os/command.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <format>
#include <string_view>

#include "common/error.h"
#include "common/os/child_thread.h"
#include "common/os/wait.h"

namespace dstack::os {

namespace {

std::string key_of(const Command& command) {
  if (!command.key.empty()) return command.key;
  std::string key;
  for (const std::string& argument : command.arguments) key += argument + '\0';
  return key;
}

// One of a command's output streams on its way into the result.
class Output {
 public:
  Output(UniqueFd& pipe, std::string& kept, std::size_t limit, bool& truncated)
      : pipe_(pipe), kept_(kept), limit_(limit), truncated_(truncated) {}

  int fd() const { return pipe_.get(); }  // -1 after its end

  // Moves what is there now, at most `most` bytes of it; returns how many that were.
  std::size_t read(std::size_t most = kPiece) {
    char buffer[kPiece];
    const ssize_t count = ::read(pipe_.get(), buffer, std::min(most, sizeof buffer));
    if (count <= 0) {
      if (count == 0 || (errno != EAGAIN && errno != EINTR)) pipe_.reset();
      return 0;
    }
    const auto size = static_cast<std::size_t>(count);
    const std::size_t room = limit_ - std::min(limit_, kept_.size());
    kept_.append(buffer, std::min(room, size));
    truncated_ = truncated_ || size > room;
    return size;
  }

  // Moves what a command that has ended left behind; what else may be written meanwhile, by a process that it has
  // started, is not its own.
  void read_rest() {
    int left = 0;
    if (!pipe_ || ::ioctl(pipe_.get(), FIONREAD, &left) != 0) return;
    while (left > 0) {
      const std::size_t count = read(static_cast<std::size_t>(left));
      if (count == 0) return;
      left -= static_cast<int>(count);
    }
  }

 private:
  static constexpr std::size_t kPiece = 16384;
  UniqueFd& pipe_;
  std::string& kept_;
  const std::size_t limit_;
  bool& truncated_;
};

void feed(UniqueFd& pipe, std::string_view& input) {
  const ssize_t count = ::write(pipe.get(), input.data(), input.size());
  if (count > 0) input.remove_prefix(static_cast<std::size_t>(count));
  // A child that does not read its input is no failure.
  if (input.empty() || (count < 0 && errno != EAGAIN && errno != EINTR)) pipe.reset();
}

// Exchanges data with the child until it has ended, or its time is up.
CommandResult::End attend(Child& child, std::string_view input, Output& output, Output& errors, Wait& wait,
                          const std::string& name) {
  if (input.empty()) child.input().reset();
  while (true) {
    pollfd waiting[] = {{.fd = child.ended_fd(), .events = POLLIN, .revents = 0},
                        {.fd = output.fd(), .events = POLLIN, .revents = 0},
                        {.fd = errors.fd(), .events = POLLIN, .revents = 0},
                        {.fd = child.input().get(), .events = POLLOUT, .revents = 0}};
    const Wait::Outcome outcome = wait.until_ready(waiting, name);
    if (waiting[1].revents != 0) output.read();
    if (waiting[2].revents != 0) errors.read();
    if (waiting[3].revents != 0) feed(child.input(), input);
    if (waiting[0].revents != 0) return CommandResult::End::exited;
    if (outcome == Wait::Outcome::timed_out) return CommandResult::End::timed_out;
    if (outcome == Wait::Outcome::stopped) return CommandResult::End::cancelled;
  }
}

ChildSpec spec_of(const Command& command, const std::string& key) {
  return {.arguments = command.arguments,
          .environment = command.environment,
          .input = ChildStream::pipe(),
          .output = ChildStream::pipe(),
          .errors = ChildStream::pipe(),
          .dies_with_parent = command.dies_with_parent,
          .key = key,
          .start_limit = command.limit};
}

// Nothing for `status`: it was killed and hangs.
void record(const std::optional<ExitStatus>& status, CommandResult& result) {
  using End = CommandResult::End;
  if (!status) {
    result.hangs = true;
    if (result.end == End::exited) result.end = End::timed_out;
  } else if (!status->signal) {
    result.exit_status = status->code;
  } else if (result.end == End::exited) {
    result.end = End::signalled;
    result.signal = *status->signal;
  }
}

}  // namespace

CommandResult run_command(const Command& command, const std::stop_token& stop, Clock& clock) {
  const SteadyTime deadline = clock.now() + command.limit;
  const std::string key = key_of(command);
  CommandResult result;
  try {
    Child child(spec_of(command, key), clock, stop);
    Output output(child.output(), result.output, command.output_limit, result.truncated);
    Output errors(child.errors(), result.errors, command.output_limit, result.truncated);
    Wait wait(clock, stop, deadline);
    result.end = attend(child, command.input, output, errors, wait, command.arguments[0]);
    const auto status = child.kill();
    output.read_rest();
    errors.read_rest();
    record(status, result);
  } catch (const Error& error) {
    // Neither needs a program that has been loaded.
    if (error.kind() != ErrorKind::timed_out && error.kind() != ErrorKind::cancelled) throw;
    const bool timed_out = error.kind() == ErrorKind::timed_out;
    result.end = timed_out ? CommandResult::End::timed_out : CommandResult::End::cancelled;
    result.hangs = find_unkillable(key).has_value();
  }
  return result;
}

std::string CommandResult::describe() const {
  switch (end) {
    case End::timed_out:
      return hangs ? "gave no answer in time and cannot be killed" : "gave no answer in time and was killed";
    case End::cancelled: return "was cancelled";
    case End::signalled: return std::format("was killed by signal {}", signal);
    case End::exited: break;
  }
  const std::string first_line = errors.substr(0, errors.find('\n'));
  if (first_line.empty()) return std::format("exited with status {}", exit_status);
  return std::format("exited with status {}: {}", exit_status, printable(first_line));
}

}  // namespace dstack::os
