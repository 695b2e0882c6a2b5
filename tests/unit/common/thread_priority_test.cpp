#include "common/os/thread_priority.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <cstring>

#include "common/os/thread.h"

using namespace dstack;

namespace {

int priority() { return ::getpriority(PRIO_PROCESS, 0); }

// In nanoseconds; 0 where the kernel has none for a normal thread.
std::uint64_t turn() {
  std::array<char, 48> attributes{};
  if (::syscall(SYS_sched_getattr, 0, attributes.data(), attributes.size(), 0) != 0) return 0;
  std::uint64_t length = 0;
  std::memcpy(&length, attributes.data() + 24, sizeof length);
  return length;
}

// Whatever the tests were started with: a thread of SCHED_IDLE keeps the kernel's turns.
bool take_usual_policy() {
  const sched_param none{};
  return ::sched_setscheduler(0, SCHED_OTHER, &none) == 0;
}

}  // namespace

TEST_CASE("a thread lowers its own priority and leaves that of others") {
  const int before = priority();
  int lowered = before;
  int lowest = before;
  os::start_thread("test priorities", [&] {
    os::lower_priority_of_this_thread();
    lowered = priority();
    os::lower_priority_of_this_thread();
    os::lower_priority_of_this_thread();
    lowest = priority();
  }).join();
  CHECK((lowered == before + 10 || (before > 9 && lowered == 19)));
  CHECK(lowest == 19);
  CHECK(priority() == before);
}

TEST_CASE("a thread shortens its own turns and keeps its priority") {
  int before = 0;
  int after = 0;
  std::uint64_t shorter = 0;
  bool has_turns = false;
  os::start_thread("test priorities", [&] {
    has_turns = take_usual_policy();
    os::lower_priority_of_this_thread();
    before = priority();
    os::shorten_turns_of_this_thread();
    after = priority();
    shorter = turn();
  }).join();
  CHECK(after == before);
  const std::uint64_t usual = turn();
  if (has_turns && usual != 0) CHECK(shorter == 100'000);
  CHECK(turn() == usual);
}
