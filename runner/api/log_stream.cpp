#include "runner/api/log_stream.h"

#include <signal.h>
#include <sys/epoll.h>

#include <spdlog/spdlog.h>
#include <array>
#include <cerrno>
#include <list>
#include <thread>

#include "common/error.h"
#include "common/os/event.h"
#include "common/os/mutex.h"
#include "common/os/thread.h"
#include "runner/api/log_reader.h"
#include "runner/api/rfc3339.h"
#include "runner/logs/job_log.h"

namespace dstack::runner {

namespace {

// How long the peer's answer to our close frame is waited for.
constexpr std::chrono::seconds kClosePatience{3};
// And for how long more if the peer has not even taken all that was sent: with a container its network goes, and what
// was still on its way.
constexpr std::chrono::seconds kDeliveryPatience{10};
constexpr std::chrono::milliseconds kLookAgain{500};
// After something was sent, what comes gathers for this long or until there is so much of it: a job that writes without
// a pause would otherwise be interrupted for every 4 KiB, and itself be the slower for it. What comes after a pause is
// sent at once, and of a job that writes little at a time almost everything is.
constexpr std::chrono::microseconds kGatherTime{1000};
constexpr std::chrono::microseconds kShortGatherTime{200};
constexpr std::uint64_t kLittle = 4096;
constexpr std::uint64_t kGatherSize = std::uint64_t{64} << 10;

}  // namespace

class LogStream::Implementation {
 public:
  Implementation(Logs& logs, os::Clock& clock)
      : logs_(logs),
        log_(logs.job_log()),
        clock_(clock),
        follower_(log_),
        timer_(clock.make_timer()),
        poll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (!poll_) throw os_error("create an epoll descriptor", "");
    watch(wake_.fd(), EPOLLIN, nullptr);
    watch(follower_.fd(), EPOLLIN | EPOLLET, nullptr);
    watch(timer_->fd(), EPOLLIN | EPOLLET, nullptr);
    thread_ = os::start_thread("stream the log", [this] { run(); });
  }

  ~Implementation() {
    {
      const os::Lock lock(mutex_);
      stopping_ = true;
    }
    wake_.set();
    thread_.join();
  }

  // On a thread of the server.
  void take(const http::Request& request, http::WebSocketConnection connection) {
    std::optional<std::uint64_t> position = 0;
    if (const auto start = request.query.find("start_time"); start != request.query.end() && !start->second.empty()) {
      const auto time = parse_rfc3339(start->second);
      position = time ? std::optional(log_.position_at(*time)) : std::nullopt;
    }
    logs_.reader_came();
    const os::Lock lock(mutex_);
    arrived_.emplace_back(log_, std::move(connection), position);
    wake_.set();
  }

 private:
  void watch(int descriptor, unsigned events, LogReader* reader) {
    epoll_event event{.events = events, .data = {.ptr = reader}};
    if (::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, descriptor, &event) != 0) throw os_error("watch a connection", "");
  }

  void run() {
    // sendfile to a connection that is gone raises it, and has no way to ask for an error code only.
    sigset_t broken_pipe;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
    while (take_arrived()) {
      const os::SteadyTime now = clock_.now();
      const bool ended = log_.ended();
      if (const std::uint64_t size = log_.size(); ended || now >= next_look_ || size >= size_ + kGatherSize) {
        if (size > size_) next_look_ = now + (size - size_ < kLittle ? kShortGatherTime : kGatherTime);
        size_ = size;
      }
      const bool more = advance_all(ended, now);
      std::optional<os::SteadyTime> look;
      // Once the log has ended, waiting for growth would never wait.
      if (!more && !ended && !readers_.empty()) {
        const bool gathering = now < next_look_;
        if (gathering) look = next_look_;
        follower_.wait_for(size_ + (gathering ? kGatherSize : 1));
      }
      set_timer(look);
      wait(more);
    }
    for (std::size_t i = 0; i < readers_.size(); ++i) logs_.reader_left();
  }

  // False when it is time to go.
  bool take_arrived() {
    const os::Lock lock(mutex_);
    for (auto reader = arrived_.begin(); reader != arrived_.end();) {
      try {
        watch(reader->socket(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &*reader);
        ++reader;
      } catch (const std::exception& error) {
        spdlog::warn("Cannot serve a reader of the logs: {}", error.what());
        reader = arrived_.erase(reader);
        logs_.reader_left();
      }
    }
    readers_.splice(readers_.end(), arrived_);
    return !stopping_;
  }

  bool advance_all(bool ended, os::SteadyTime now) {
    bool more = false;
    nearest_patience_.reset();
    for (auto reader = readers_.begin(); reader != readers_.end();) {
      more = reader->advance(size_, ended) || more;
      std::optional<os::SteadyTime>& patience = reader->patience;
      if (reader->closing() && !patience) {
        patience = now + kClosePatience;
        reader->last_patience = now + kClosePatience + kDeliveryPatience;
      } else if (patience && *patience <= now && reader->unreceived()) {
        patience = std::min(now + kLookAgain, reader->last_patience.value_or(now));
      }
      if (reader->finished() || (patience && *patience <= now)) {
        reader = readers_.erase(reader);
        logs_.reader_left();
        continue;
      }
      if (patience && (!nearest_patience_ || *patience < *nearest_patience_)) nearest_patience_ = patience;
      ++reader;
    }
    return more;
  }

  void set_timer(std::optional<os::SteadyTime> deadline) {
    if (nearest_patience_ && (!deadline || *nearest_patience_ < *deadline)) deadline = nearest_patience_;
    if (deadline) {
      timer_->arm(*deadline);
    } else if (armed_) {
      timer_->disarm();
    }
    armed_ = deadline.has_value();
  }

  void wait(bool more) {
    std::array<epoll_event, 64> events;
    const int count = ::epoll_wait(poll_.get(), events.data(), static_cast<int>(events.size()), more ? 0 : -1);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      if (auto* reader = static_cast<LogReader*>(event.data.ptr)) {
        reader->note((event.events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0,
                     (event.events & EPOLLOUT) != 0);
      } else {
        wake_.clear();
      }
    }
  }

  Logs& logs_;
  JobLog& log_;
  os::Clock& clock_;
  JobLog::Follower follower_;
  std::unique_ptr<os::Timer> timer_;
  os::UniqueFd poll_;
  os::Event wake_;
  std::list<LogReader> readers_;  // the thread's own
  std::uint64_t size_ = 0;        // of the output, as far as readers are to have it now
  os::SteadyTime next_look_{};
  std::optional<os::SteadyTime> nearest_patience_;
  bool armed_ = false;

  os::Mutex mutex_;
  std::list<LogReader> arrived_ DSTACK_GUARDED_BY(mutex_);
  bool stopping_ DSTACK_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

LogStream::LogStream(Logs& logs, os::Clock& clock) : implementation_(std::make_unique<Implementation>(logs, clock)) {}
LogStream::~LogStream() = default;

void LogStream::add_route(http::Server& server) {
  server.websocket("/logs_ws", [this](const http::Request& request, http::WebSocketConnection connection) {
    implementation_->take(request, std::move(connection));
  });
}

}  // namespace dstack::runner
