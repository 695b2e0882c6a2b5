#include "common/os/process_watch.h"

#include <poll.h>
#include <sys/wait.h>

#include <catch2/catch_test_macros.hpp>
#include <csignal>

#include "common/os/child_process.h"
#include "common/os/file.h"
#include "tests/support/temporary_directory.h"

namespace dstack {

namespace {

bool is_readable(int fd, int limit_ms) {
  pollfd event{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&event, 1, limit_ms) > 0;
}

}  // namespace

TEST_CASE("the end of a process is seen, and its status left to whoever waits for it") {
  const test::TemporaryDirectory folder;
  const pid_t pid = os::start_background({"/bin/sleep", "1000"}, {}, folder / "log");
  const os::ProcessWatch watch(pid);
  CHECK_FALSE(is_readable(watch.fd(), 0));
  ::kill(pid, SIGTERM);
  CHECK(is_readable(watch.fd(), -1));
  int status = 0;
  CHECK(::waitpid(pid, &status, 0) == pid);
  CHECK(WTERMSIG(status) == SIGTERM);
}

TEST_CASE("a background program has its own session, its own environment, and a file for its output") {
  const test::TemporaryDirectory folder;
  const std::string script = "set -- $(cat /proc/$$/stat); [ $6 = $$ ] && echo leader; echo $A; read line; echo $? >&2";
  const pid_t pid = os::start_background({"/bin/sh", "-c", script}, {"A=value", "PATH=/usr/bin:/bin"}, folder / "log");
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(os::read_file(folder / "log") == "leader\nvalue\n1\n");
}

}  // namespace dstack
