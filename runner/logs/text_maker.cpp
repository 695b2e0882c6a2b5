#include "runner/logs/text_maker.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/error.h"
#include "common/os/thread.h"
#include "common/os/thread_priority.h"

namespace dstack::runner {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t kBufferSize = std::size_t{64} << 10;
// Output gathers for this long or until there is so much of it.
constexpr milliseconds kGatherTime{20};
constexpr std::uint64_t kGatherSize = std::uint64_t{1} << 20;
// How long to wait for room on a full disk.
constexpr milliseconds kRoomPause{1000};
constexpr int kMostFailuresAtEnd = 3;
// Fewer than the failures at the end, so that what follows unreadable output is still shown then.
constexpr int kMostReads = 2;

void log_unreadable(std::size_t size, const std::exception& error) {
  spdlog::error("{} bytes of the job's output are left out of its plain text: {}", size, error.what());
}

}  // namespace

TextMaker::TextMaker(JobLog& log, os::Clock& clock, Commit commit)
    : log_(log),
      clock_(clock),
      commit_(std::move(commit)),
      follower_(log),
      timer_(clock.make_timer()),
      text_([&log](std::uint64_t position, std::size_t size) {
        std::string text(size, '\0');
        try {
          text.resize(log.read(position, text));
        } catch (const std::exception& error) {
          log_unreadable(size, error);
          text.clear();
        }
        return text;
      }),
      buffer_(kBufferSize) {
  thread_ = os::start_thread("make plain text of the job's output", [this] {
    os::lower_priority_of_this_thread();
    run();
  });
}

TextMaker::~TextMaker() {
  stop_.set();
  thread_.join();
}

void TextMaker::wait_until_done() {
  os::Lock lock(mutex_);
  changed_.wait(lock.native(), [this]() DSTACK_REQUIRES(mutex_) { return done_; });
}

void TextMaker::run() {
  int failures = 0;
  while (!stopping_) {
    try {
      if (!advance()) break;
      failures = 0;
    } catch (const std::exception& error) {
      spdlog::error("Make the plain text of the job's output: {}", error.what());
      // The end of the job must not wait for it.
      if (log_.ended() && ++failures == kMostFailuresAtEnd) break;
      pause(kRoomPause);
    }
  }
  const os::Lock lock(mutex_);
  done_ = true;
  changed_.notify_all();
}

// One round; false at the end.
bool TextMaker::advance() {
  const bool ended = log_.ended();
  take_what_is_there();
  text_.flush_due(clock_.now());
  if (ended && seen_ == log_.size()) {
    text_.finish();
    commit();
    return false;
  }
  if (commit() && !stopping_) wait();
  return true;
}

void TextMaker::pause(std::chrono::milliseconds length) {
  timer_->arm(clock_.now() + length);
  pollfd waiting[] = {{.fd = timer_->fd(), .events = POLLIN, .revents = 0},
                      {.fd = stop_.fd(), .events = POLLIN, .revents = 0}};
  while (::poll(waiting, std::size(waiting), -1) < 0 && errno == EINTR) continue;
  stopping_ = waiting[1].revents != 0;
}

void TextMaker::take_what_is_there() {
  while (!stopping_ && log_.size() > seen_) {
    const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(buffer_.size(), log_.size() - taken_));
    const std::optional<std::size_t> read = read_some(wanted);
    if (!read) continue;
    const std::size_t count = *read;
    if (count == 0) {
      // Somebody cut the file short. What is not there cannot be shown.
      taken_ = seen_ = log_.size();
      return;
    }
    const std::size_t taken = text_.take({buffer_.data(), count}, taken_, clock_.now());
    seen_ = taken_ + count;
    taken_ += taken;
    if (!commit()) return;
  }
}

// Bytes read into the buffer; nothing when they cannot be read and are left out. Throws when it is to be tried again.
std::optional<std::size_t> TextMaker::read_some(std::size_t wanted) {
  try {
    const std::size_t count = log_.read(taken_, std::span(buffer_).first(wanted));
    failed_reads_ = 0;
    return count;
  } catch (const std::exception& error) {
    if (++failed_reads_ < kMostReads) throw;
    failed_reads_ = 0;
    log_unreadable(wanted, error);
    text_.finish();
    taken_ += wanted;
    seen_ = taken_;
    return std::nullopt;
  }
}

// False when it could not be done, and is to be tried again: the pieces are still there.
bool TextMaker::commit() {
  std::vector<Piece>& ready = text_.ready();
  while (!ready.empty()) {
    if (commit_(ready)) {
      ready.clear();
      break;
    }
    const bool last_try = log_.ended();
    if (last_try) {
      std::size_t lost = 0;
      for (const Piece& piece : ready) lost += piece.text_size;
      spdlog::error("{} bytes of the job's plain text cannot be kept: {}", lost, describe_errno(errno));
      ready.clear();
      break;
    }
    wait_for(UINT64_MAX - 1, clock_.now() + kRoomPause);
    if (stopping_) return false;
  }
  return true;
}

// Until there is something to do.
void TextMaker::wait() {
  if (!wait_for(seen_ + 1, text_.deadline())) return;
  if (!stopping_ && !log_.ended()) wait_for(seen_ + kGatherSize, clock_.now() + kGatherTime);
}

// Until the log has that size or has ended: true; or until the deadline or the end of this object: false.
bool TextMaker::wait_for(std::uint64_t size, std::optional<os::SteadyTime> deadline) {
  follower_.wait_for(size);
  if (deadline) {
    timer_->arm(*deadline);
  } else {
    timer_->disarm();
  }
  pollfd waiting[] = {{.fd = follower_.fd(), .events = POLLIN, .revents = 0},
                      {.fd = timer_->fd(), .events = POLLIN, .revents = 0},
                      {.fd = stop_.fd(), .events = POLLIN, .revents = 0}};
  while (::poll(waiting, std::size(waiting), -1) < 0) {
    if (errno != EINTR) throw os_error("wait for the job's output", "");
  }
  stopping_ = waiting[2].revents != 0;
  return waiting[0].revents != 0;
}

}  // namespace dstack::runner
