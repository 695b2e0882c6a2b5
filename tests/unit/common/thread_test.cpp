#include "common/os/thread.h"

#include <sys/resource.h>

#include <catch2/catch_test_macros.hpp>

using namespace dstack;

namespace {

int priority() { return ::getpriority(PRIO_PROCESS, 0); }

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
