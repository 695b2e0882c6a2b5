#include "shim/client/stdio_stream.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <exception>
#include <utility>

#include "common/error.h"
#include "common/os/signals.h"
#include "common/os/wait.h"

namespace dstack::shim::client {

namespace {

constexpr std::size_t kPieceSize = 32768;
// A pipe that is ready takes as much without blocking.
constexpr std::size_t kWriteSize = 4096;
// A program's terminal has no size before the program runs.
constexpr std::chrono::milliseconds kSizePause{50};
constexpr int kSizeTries = 40;

}  // namespace

os::UniqueFd watch_stream_signals() { return os::block_and_watch({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH}); }

StdioStream::StdioStream(http::Upgraded& stream, Settings settings, const os::UniqueFd& signals, Resize resize,
                         OnSignal on_signal, os::Clock& clock)
    : stream_(stream),
      settings_(settings),
      signals_(signals),
      resize_(std::move(resize)),
      on_signal_(std::move(on_signal)),
      clock_(clock),
      output_{.fd = settings.output_fd},
      errors_{.fd = settings.errors_fd},
      input_open_(settings.input),
      wait_(clock) {
  want_size();
}

StdioStream::Outcome StdioStream::run() {
  while (step()) {
  }
  return outcome_.value_or(Outcome{});
}

bool StdioStream::step() {
  apply_size();
  const bool drained = output_.bytes.empty() && errors_.bytes.empty();
  if (drained && !ended_) {
    read_stream();
    if (!output_.bytes.empty() || !errors_.bytes.empty()) return true;
  }
  if (ended_ && drained) return false;
  enum { kFromEngine, kOfSignals, kOfInput, kOfOutput, kOfErrors, kCount };
  std::array<pollfd, kCount> waiting{};
  const short from_stream = ended_ || !drained ? 0 : POLLIN;
  const short to_stream = input_.empty() || ended_ ? 0 : POLLOUT;
  waiting[kFromEngine] = {.fd = ended_ ? -1 : stream_.fd(), .events = static_cast<short>(from_stream | to_stream)};
  if (waiting[kFromEngine].events == 0) waiting[kFromEngine].fd = -1;
  waiting[kOfSignals] = {.fd = signals_.get(), .events = POLLIN};
  waiting[kOfInput] = {.fd = input_open_ && input_.empty() && !ended_ ? settings_.input_fd : -1, .events = POLLIN};
  waiting[kOfOutput] = {.fd = output_.bytes.empty() ? -1 : output_.fd, .events = POLLOUT};
  waiting[kOfErrors] = {.fd = errors_.bytes.empty() ? -1 : errors_.fd, .events = POLLOUT};
  if (wait_for(waiting) == os::Wait::Outcome::timed_out) return true;
  if (waiting[kOfSignals].revents != 0) take_signal();
  if (waiting[kOfInput].revents != 0) read_input();
  if (!input_.empty() && waiting[kFromEngine].revents != 0) write_stream();
  if (waiting[kOfOutput].revents != 0 && !write_pending(output_)) outcome_ = Outcome{.end = End::unread};
  // Output that is read goes on without its errors.
  if (waiting[kOfErrors].revents != 0 && !write_pending(errors_)) errors_.bytes.clear();
  return !outcome_;
}

os::Wait::Outcome StdioStream::wait_for(std::span<pollfd> descriptors) {
  constexpr const char* kSubject = "the terminal";
  if (!size_wanted_) return wait_.until_ready(descriptors, kSubject);
  return os::Wait(clock_, {}, size_due_).until_ready(descriptors, kSubject);
}

void StdioStream::read_stream() {
  std::array<char, kPieceSize> piece{};
  const auto count = stream_.read(piece);
  if (!count) return;
  if (*count == 0) {
    ended_ = true;
    return;
  }
  take_output({piece.data(), *count});
}

void StdioStream::take_output(std::string_view bytes) {
  if (settings_.terminal) {
    output_.bytes += bytes;
    return;
  }
  frames_.add(bytes, [this](docker::StreamFrames::Stream stream, std::string_view piece) {
    (stream == docker::StreamFrames::Stream::errors ? errors_ : output_).bytes += piece;
  });
}

void StdioStream::write_stream() {
  try {
    input_.erase(0, stream_.write(input_));
  } catch (const std::exception&) {
    // The program has closed its input, or ended: what it wrote is still to be read.
    input_.clear();
    input_open_ = false;
  }
  if (input_.empty() && !input_open_) stream_.end_output();
}

// The first write does not block, and no further one does.
bool StdioStream::write_pending(Pending& pending) {
  pollfd ready{.fd = pending.fd, .events = POLLOUT, .revents = POLLOUT};
  std::size_t written = 0;
  while (written < pending.bytes.size() && ready.revents != 0) {
    const std::size_t size = std::min(pending.bytes.size() - written, kWriteSize);
    const ssize_t count = ::write(pending.fd, pending.bytes.data() + written, size);
    if (count >= 0) {
      written += static_cast<std::size_t>(count);
    } else if (errno == EPIPE || errno == EIO) {
      return false;
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      throw os_error("write to", "stdout");
    }
    ready.revents = 0;
    ::poll(&ready, 1, 0);
  }
  pending.bytes.erase(0, written);
  return true;
}

void StdioStream::read_input() {
  std::array<char, kPieceSize> piece{};
  const ssize_t count = ::read(settings_.input_fd, piece.data(), piece.size());
  if (count > 0) {
    input_.assign(piece.data(), static_cast<std::size_t>(count));
    return;
  }
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  // Also of a terminal that is gone: a program that reads its input has its end.
  input_open_ = false;
  stream_.end_output();
}

void StdioStream::take_signal() {
  const int number = os::next_signal(signals_);
  if (number == SIGWINCH) {
    want_size();
  } else if (!on_signal_(number)) {
    outcome_ = Outcome{.end = End::signalled, .signal = number};
  }
}

void StdioStream::want_size() {
  if (!settings_.terminal) return;
  size_wanted_ = terminal_size(settings_.output_fd);
  size_due_ = clock_.now();
  size_tries_ = 0;
}

void StdioStream::apply_size() {
  if (!size_wanted_ || clock_.now() < size_due_) return;
  size_due_ = clock_.now() + kSizePause;
  if (resize_(*size_wanted_) || ++size_tries_ >= kSizeTries) size_wanted_.reset();
}

}  // namespace dstack::shim::client
