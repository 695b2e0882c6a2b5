#include "common/os/child_thread.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <format>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "common/error.h"

namespace dstack::os {

namespace {

// Not every kernel has a descriptor that says when a child has ended, so the few that hang are looked at.
constexpr std::chrono::milliseconds kLookInterval{100};

// A wait status for a child that another part of the process has waited for.
constexpr int kUnknownStatus = 255 << 8;

class ChildThread {
 public:
  pid_t fork(const std::function<void()>& in_child) {
    Request request{.in_child = in_child};
    std::unique_lock lock(mutex_);
    if (!running_) start();
    requests_.push_back(&request);
    work_.notify_one();
    served_.wait(lock, [&request] { return request.child != 0; });
    if (request.child < 0) {
      throw Error(ErrorKind::unavailable, std::format("start a process: {}", describe_errno(request.code)));
    }
    return request.child;
  }

  std::optional<int> reap(pid_t child) {
    const std::scoped_lock lock(mutex_);
    return reap_locked(child);
  }

  void reap_later(pid_t child, std::string key) {
    const std::scoped_lock lock(mutex_);
    unkillable_.push_back({.pid = child, .key = std::move(key)});
    work_.notify_one();
  }

  std::optional<pid_t> find_unkillable(const std::string& key) {
    const std::scoped_lock lock(mutex_);
    const auto found = std::ranges::find(unkillable_, key, &Unkillable::key);
    return found == unkillable_.end() ? std::nullopt : std::optional(found->pid);
  }

  std::vector<pid_t> started() {
    const std::scoped_lock lock(mutex_);
    return {started_.begin(), started_.end()};
  }

 private:
  struct Request {
    const std::function<void()>& in_child;
    pid_t child = 0;  // -1: failed
    int code = 0;
  };
  struct Unkillable {
    pid_t pid;
    std::string key;
  };

  void start() {
    // Children's statuses would be lost if this process was started with SIGCHLD ignored.
    std::signal(SIGCHLD, SIG_DFL);
    // No signal may reach a handler in a child before that has reset them, and this thread itself wants none.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    std::string problem;
    try {
      std::thread([this] { work(); }).detach();
      running_ = true;
    } catch (const std::system_error& error) {
      problem = error.what();
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!running_) throw Error(ErrorKind::unavailable, std::format("start a thread: {}", problem));
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      for (Request* request : std::exchange(requests_, {})) serve(*request);
      std::erase_if(unkillable_, [this](const Unkillable& child) { return reap_locked(child.pid).has_value(); });
      if (unkillable_.empty()) {
        work_.wait(lock, [this] { return !requests_.empty() || !unkillable_.empty(); });
      } else {
        work_.wait_for(lock, kLookInterval, [this] { return !requests_.empty(); });
      }
    }
  }

  void serve(Request& request) {
    const pid_t child = ::fork();
    if (child == 0) {
      request.in_child();
      ::_exit(127);
    }
    request.code = errno;
    if (child > 0) started_.insert(child);
    request.child = child;
    served_.notify_all();
  }

  // Under the lock, so that a number that is free again cannot be given to a new child before it is forgotten here.
  std::optional<int> reap_locked(pid_t child) {
    int status = 0;
    const pid_t result = ::waitpid(child, &status, WNOHANG);
    if (result == 0 || (result < 0 && errno == EINTR)) return std::nullopt;
    started_.erase(child);
    return result == child ? status : kUnknownStatus;
  }

  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable served_;
  bool running_ = false;
  std::vector<Request*> requests_;
  std::vector<Unkillable> unkillable_;
  std::set<pid_t> started_;
};

// Never destroyed: the thread uses it until the process has ended.
ChildThread& child_thread() {
  [[clang::no_destroy]] static ChildThread thread;
  return thread;
}

}  // namespace

pid_t fork_child(const std::function<void()>& in_child) { return child_thread().fork(in_child); }

std::optional<int> reap_child(pid_t child) { return child_thread().reap(child); }

void reap_later(pid_t child, std::string key) { child_thread().reap_later(child, std::move(key)); }

std::optional<pid_t> find_unkillable(const std::string& key) { return child_thread().find_unkillable(key); }

std::vector<pid_t> started_children() { return child_thread().started(); }

}  // namespace dstack::os
