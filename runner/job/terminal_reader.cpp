#include "runner/job/terminal_reader.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>

#include <spdlog/spdlog.h>

#include "common/error.h"
#include "common/os/thread.h"
#include "common/os/thread_priority.h"

namespace dstack::runner::job {

namespace {

constexpr std::size_t kPieceSize = std::size_t{64} << 10;
constexpr std::size_t kLastWordsLimit = 1 << 20;
// A job that writes at least this much a second in small pieces is left to write for a while between two reads. The
// terminal has room for what comes meanwhile; of a faster job a read gets enough as it is.
constexpr double kSlowJob = 200e3;
constexpr double kFastJob = 64e6;
constexpr std::chrono::microseconds kGatherTime{250};

}  // namespace

TerminalReader::TerminalReader(int output, std::function<void(std::string_view)> take, os::Clock& clock)
    : output_(output), take_(std::move(take)), clock_(clock), timer_(clock.make_timer()) {
  thread_ = os::start_thread("read the job's output", [this] { read(); });
}

void TerminalReader::finish() {
  if (!thread_.joinable()) return;
  finish_.set();
  thread_.join();
}

void TerminalReader::read() {
  // The job waits for it while the terminal is full.
  os::shorten_turns_of_this_thread();
  std::array<pollfd, 2> beginning{
      {{.fd = begin_.fd(), .events = POLLIN, .revents = 0}, {.fd = finish_.fd(), .events = POLLIN, .revents = 0}}};
  while (::poll(beginning.data(), beginning.size(), -1) < 0) {
  }
  std::array<pollfd, 2> waiting{
      {{.fd = output_, .events = POLLIN, .revents = 0}, {.fd = finish_.fd(), .events = POLLIN, .revents = 0}}};
  os::SteadyTime last_read{};
  while (true) {
    if (::poll(waiting.data(), waiting.size(), -1) < 0) continue;
    if (waiting[1].revents != 0) {
      read_available(kLastWordsLimit);
      return;
    }
    const os::SteadyTime now = clock_.now();
    // With a look at finish_ now and then: a process may write without a pause.
    const std::optional<std::size_t> size = read_available(kLastWordsLimit);
    if (!size) return;
    const std::chrono::duration<double> since_last = now - last_read;
    last_read = now;
    const double rate = static_cast<double>(*size) / since_last.count();
    if (rate > kSlowJob && rate < kFastJob) let_gather(now);
  }
}

void TerminalReader::let_gather(os::SteadyTime now) {
  timer_->arm(now + kGatherTime);
  std::array<pollfd, 2> waiting{
      {{.fd = timer_->fd(), .events = POLLIN, .revents = 0}, {.fd = finish_.fd(), .events = POLLIN, .revents = 0}}};
  while (::poll(waiting.data(), waiting.size(), -1) < 0) {
  }
}

std::optional<std::size_t> TerminalReader::read_available(std::size_t limit) {
  std::array<char, kPieceSize> buffer;
  std::size_t total = 0;
  std::size_t held = 0;  // in the buffer: a terminal gives 4 KiB at a time, which are not worth a write each
  bool open = true;
  bool more = true;
  while (more) {
    const ssize_t count = ::read(output_, buffer.data() + held, buffer.size() - held);
    if (count < 0 && errno == EINTR) continue;
    if (count > 0) held += static_cast<std::size_t>(count);
    open = count > 0 || (count < 0 && errno == EAGAIN);
    more = count > 0 && total + held < limit;
    if (held == 0 || (more && held < buffer.size())) continue;
    hand_on({buffer.data(), held});
    total += std::exchange(held, 0);
  }
  return open ? std::optional(total) : std::nullopt;
}

void TerminalReader::hand_on(std::string_view output) noexcept {
  try {
    take_(output);
  } catch (const std::exception& error) {
    // The job must not hang over it: its output is read on.
    spdlog::error("{} bytes of the job's output are lost: {}", output.size(), error.what());
  }
}

}  // namespace dstack::runner::job
