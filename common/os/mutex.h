#pragma once

#include <mutex>

// Which mutex guards what, for clang's thread safety analysis: the debug build refuses a member that is used without
// its mutex (https://clang.llvm.org/docs/ThreadSafetyAnalysis.html). A predicate of a wait is a function of its own to
// the analysis, so it says that it is called with the mutex held: `[&]() DSTACK_REQUIRES(mutex_) { return done_; }`.
#if defined(__clang__)
#define DSTACK_THREAD_ANNOTATION(what) __attribute__((what))
#else
#define DSTACK_THREAD_ANNOTATION(what)
#endif

// Of a member: read and written with the mutex held only.
#define DSTACK_GUARDED_BY(mutex) DSTACK_THREAD_ANNOTATION(guarded_by(mutex))
// Of a function: called with the mutex held.
#define DSTACK_REQUIRES(mutex) DSTACK_THREAD_ANNOTATION(requires_capability(mutex))
// Of a function: called without the mutex, which it takes.
#define DSTACK_EXCLUDES(mutex) DSTACK_THREAD_ANNOTATION(locks_excluded(mutex))

namespace dstack::os {

class Lock;

class DSTACK_THREAD_ANNOTATION(capability("mutex")) Mutex {
 private:
  friend class Lock;
  std::mutex mutex_;
};

// Holds a mutex until its end. unlock() and lock() let go of it in between.
class DSTACK_THREAD_ANNOTATION(scoped_lockable) Lock {
 public:
  explicit Lock(Mutex& mutex) DSTACK_THREAD_ANNOTATION(acquire_capability(mutex)) : lock_(mutex.mutex_) {}
  ~Lock() DSTACK_THREAD_ANNOTATION(release_capability()) = default;
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  void lock() DSTACK_THREAD_ANNOTATION(acquire_capability()) { lock_.lock(); }
  void unlock() DSTACK_THREAD_ANNOTATION(release_capability()) { lock_.unlock(); }

  // For condition variables and Clock::wait_until, which hold it again when they return.
  std::unique_lock<std::mutex>& native() { return lock_; }

 private:
  std::unique_lock<std::mutex> lock_;
};

}  // namespace dstack::os
