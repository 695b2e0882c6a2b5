#include "runner/job/terminal_reader.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>

#include <spdlog/spdlog.h>

#include "common/error.h"
#include "common/os/thread.h"

namespace dstack::runner::job {

namespace {

constexpr std::size_t kPieceSize = 64 * 1024;
constexpr std::size_t kLastWordsLimit = 1 << 20;

}  // namespace

TerminalReader::TerminalReader(int output, std::function<void(std::string_view)> take)
    : output_(output), take_(std::move(take)) {
  thread_ = os::start_thread("read the job's output", [this] { read(); });
}

void TerminalReader::finish() {
  if (!thread_.joinable()) return;
  finish_.set();
  thread_.join();
}

void TerminalReader::read() {
  std::array<pollfd, 2> beginning{
      {{.fd = begin_.fd(), .events = POLLIN, .revents = 0}, {.fd = finish_.fd(), .events = POLLIN, .revents = 0}}};
  while (::poll(beginning.data(), beginning.size(), -1) < 0) {
  }
  std::array<pollfd, 2> waiting{
      {{.fd = output_, .events = POLLIN, .revents = 0}, {.fd = finish_.fd(), .events = POLLIN, .revents = 0}}};
  while (true) {
    if (::poll(waiting.data(), waiting.size(), -1) < 0) continue;
    if (waiting[1].revents != 0) {
      read_available(kLastWordsLimit);
      return;
    }
    // With a look at finish_ now and then: a process may write without a pause.
    if (!read_available(kLastWordsLimit)) return;
  }
}

bool TerminalReader::read_available(std::size_t limit) {
  std::array<char, kPieceSize> buffer;
  std::size_t total = 0;
  while (total < limit) {
    const ssize_t count = ::read(output_, buffer.data(), buffer.size());
    if (count > 0) {
      try {
        take_({buffer.data(), static_cast<std::size_t>(count)});
      } catch (const std::exception& error) {
        // The job must not hang over it: its output is read on.
        spdlog::error("{} bytes of the job's output are lost: {}", count, error.what());
      }
      total += static_cast<std::size_t>(count);
    } else if (count == 0 || errno != EINTR) {
      return count < 0 && errno == EAGAIN;
    }
  }
  return true;
}

}  // namespace dstack::runner::job
