#include "common/os/child_thread.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <format>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "common/error.h"
#include "common/os/mutex.h"
#include "common/os/process_list.h"

namespace dstack::os {

namespace {

// Not every kernel has a descriptor that says when a child has ended, so the few that hang are looked at.
constexpr std::chrono::milliseconds kLookInterval{100};
// A look at a group's members reads all of /proc.
constexpr std::chrono::seconds kGroupLookInterval{1};

// A wait status for a child that another part of the process has waited for.
constexpr int kUnknownStatus = 255 << 8;

class ChildThread {
 public:
  pid_t fork(const std::function<void()>& in_child) {
    Request request{.in_child = in_child};
    os::Lock lock(mutex_);
    if (!running_) start();
    requests_.push_back(&request);
    work_.notify_one();
    served_.wait(lock.native(), [&request] { return request.child != 0; });
    if (request.child < 0) {
      throw Error(ErrorKind::exhausted, std::format("start a process: {}", describe_errno(request.code)));
    }
    return request.child;
  }

  std::optional<int> reap(pid_t child) {
    const os::Lock lock(mutex_);
    return reap_locked(child);
  }

  void reap_later(pid_t child, std::string key) {
    const os::Lock lock(mutex_);
    killed_.push_back({.pid = child, .key = std::move(key), .reaped = false, .hangs = true});
    work_.notify_one();
  }

  void watch_group(pid_t group, std::string key) {
    const os::Lock lock(mutex_);
    const auto look = std::chrono::steady_clock::now() + kGroupLookInterval;
    killed_.push_back({.pid = group, .key = std::move(key), .reaped = true, .hangs = false, .next_look = look});
    work_.notify_one();
  }

  std::optional<pid_t> find_unkillable(const std::string& key) {
    const os::Lock lock(mutex_);
    const auto found =
        std::ranges::find_if(killed_, [&key](const Killed& child) { return child.hangs && child.key == key; });
    return found == killed_.end() ? std::nullopt : std::optional(found->pid);
  }

  std::vector<pid_t> started() {
    const os::Lock lock(mutex_);
    std::vector<pid_t> children(started_.begin(), started_.end());
    for (const Killed& child : killed_) {
      if (child.reaped) children.push_back(child.pid);
    }
    return children;
  }

 private:
  struct Request {
    const std::function<void()>& in_child;
    pid_t child = 0;  // -1: failed
    int code = 0;
  };
  // A child, or what is left of the process group of one that was reaped, that was killed and is not gone.
  struct Killed {
    pid_t pid;
    std::string key;
    bool reaped;
    bool hangs;
    std::chrono::steady_clock::time_point next_look{};  // for live members of the group
  };

  void start() DSTACK_REQUIRES(mutex_) {
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
    if (!running_) throw Error(ErrorKind::exhausted, std::format("start a thread: {}", problem));
  }

  void work() {
    os::Lock lock(mutex_);
    while (true) {
      for (Request* request : std::exchange(requests_, {})) serve(*request);
      std::erase_if(killed_, [this](Killed& child) DSTACK_REQUIRES(mutex_) { return is_gone(child); });
      if (killed_.empty()) {
        work_.wait(lock.native(), [this]() DSTACK_REQUIRES(mutex_) { return !requests_.empty() || !killed_.empty(); });
      } else {
        work_.wait_for(lock.native(), kLookInterval, [this]() DSTACK_REQUIRES(mutex_) { return !requests_.empty(); });
      }
    }
  }

  void serve(Request& request) DSTACK_REQUIRES(mutex_) {
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

  bool is_gone(Killed& child) DSTACK_REQUIRES(mutex_) {
    if (!child.reaped) return reap_locked(child.pid).has_value();
    if (::kill(-child.pid, 0) != 0 && errno == ESRCH) return true;
    const auto now = std::chrono::steady_clock::now();
    if (now < child.next_look) return false;
    child.next_look = now + kGroupLookInterval;
    // Zombies whose parent does not reap them are not what hangs.
    child.hangs = std::ranges::any_of(list_processes(), [&child](const ProcessEntry& process) {
      return process.group == child.pid && process.alive();
    });
    return !child.hangs;
  }

  // Under the lock, so that a number that is free again cannot be given to a new child before it is forgotten here.
  std::optional<int> reap_locked(pid_t child) DSTACK_REQUIRES(mutex_) {
    int status = 0;
    const pid_t result = ::waitpid(child, &status, WNOHANG);
    if (result == 0 || (result < 0 && errno == EINTR)) return std::nullopt;
    started_.erase(child);
    return result == child ? status : kUnknownStatus;
  }

  os::Mutex mutex_;
  std::condition_variable work_;
  std::condition_variable served_;
  bool running_ DSTACK_GUARDED_BY(mutex_) = false;
  std::vector<Request*> requests_ DSTACK_GUARDED_BY(mutex_);
  std::vector<Killed> killed_ DSTACK_GUARDED_BY(mutex_);
  std::set<pid_t> started_ DSTACK_GUARDED_BY(mutex_);
};

// Never destroyed: the thread uses it until the process has ended.
ChildThread& child_thread() {
  [[clang::no_destroy]] static ChildThread thread;
  return thread;
}

}  // namespace

pid_t fork_child(const std::function<void()>& in_child) { return child_thread().fork(in_child); }

std::optional<int> reap_child(pid_t child) { return child_thread().reap(child); }

void watch_group(pid_t group, std::string key) { child_thread().watch_group(group, std::move(key)); }

void reap_later(pid_t child, std::string key) { child_thread().reap_later(child, std::move(key)); }

std::optional<pid_t> find_unkillable(const std::string& key) { return child_thread().find_unkillable(key); }

std::vector<pid_t> started_children() { return child_thread().started(); }

}  // namespace dstack::os
