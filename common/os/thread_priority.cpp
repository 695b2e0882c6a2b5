#include "common/os/thread_priority.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace dstack::os {

namespace {

constexpr int kSteps = 10;
constexpr int kLowest = 19;
constexpr std::uint64_t kShortTurn = 100'000;  // ns, the least that the kernel takes; 3 ms are usual

// The kernel's struct sched_attr in its first version, which not every C library declares.
struct SchedulingAttributes {
  std::uint32_t size;
  std::uint32_t policy;
  std::uint64_t flags;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime;  // of a normal thread: its turn
  std::uint64_t deadline;
  std::uint64_t period;
};

}  // namespace

void lower_priority_of_this_thread() {
  // On Linux a priority is a thread's, and 0 is the calling one. Nothing keeps a thread from lowering its own.
  ::setpriority(PRIO_PROCESS, 0, std::min(::getpriority(PRIO_PROCESS, 0) + kSteps, kLowest));
}

void shorten_turns_of_this_thread() {
  SchedulingAttributes attributes{};
  if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  attributes.size = sizeof attributes;
  attributes.runtime = kShortTurn;
  ::syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace dstack::os
