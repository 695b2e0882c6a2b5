#include "common/os/command.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include <catch2/catch_test_macros.hpp>
#include <future>
#include <thread>

#include "common/error.h"
#include "common/os/child_thread.h"
#include "common/os/file.h"
#include "common/os/signals.h"
#include "tests/support/eager_clock.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace std::chrono_literals;
using End = os::CommandResult::End;

namespace {

os::Command shell(std::string script) { return {.arguments = {"/bin/sh", "-c", std::move(script)}}; }

}  // namespace

TEST_CASE("a command's streams and exit status are kept apart") {
  const auto result = os::run_command(shell("echo out; echo err >&2; exit 3"));
  CHECK(result.end == End::exited);
  CHECK(result.exit_status == 3);
  CHECK(result.output == "out\n");
  CHECK(result.errors == "err\n");
  CHECK(result.describe() == "exited with status 3: \"err\"");
  CHECK_FALSE(result.succeeded());
}

TEST_CASE("a command killed by a signal says by which") {
  const auto result = os::run_command(shell("kill -TERM $$"));
  CHECK(result.end == End::signalled);
  CHECK(result.signal == SIGTERM);
}

TEST_CASE("a command gets its input whole, however long") {
  os::Command command{.arguments = {"cat"}};
  command.input = std::string(1 << 20, 'x');
  const auto result = os::run_command(command);
  CHECK(result.output == command.input);
}

TEST_CASE("a command that does not read its input is no failure") {
  os::ignore_broken_pipes();
  os::Command command{.arguments = {"true"}};
  command.input = std::string(1 << 20, 'x');
  CHECK(os::run_command(command).succeeded());
}

TEST_CASE("output beyond the limit is dropped and said so") {
  os::Command command = shell("head -c 100000 /dev/zero");
  command.output_limit = 1000;
  const auto result = os::run_command(command);
  CHECK(result.output.size() == 1000);
  CHECK(result.truncated);
  CHECK(result.succeeded());
}

TEST_CASE("a command that outlives its limit is killed with its children") {
  test::FakeClock clock;
  const test::TemporaryDirectory folder;
  const std::string fifo = folder / "fifo";
  // The child opens the fifo for reading and hangs there: whoever writes to it finds no reader once both are dead.
  os::Command command = shell("mkfifo " + fifo + "; (cat " + fifo + ") & wait");
  command.limit = 10s;
  os::CommandResult result;
  std::thread runner([&] { result = os::run_command(command, {}, clock); });
  clock.await_waiters();
  clock.advance(10s);
  runner.join();
  CHECK(result.end == End::timed_out);
}

TEST_CASE("a command is killed at once when it is cancelled") {
  std::stop_source stop;
  os::CommandResult result;
  std::thread runner([&] { result = os::run_command(shell("exec tail -f /dev/null"), stop.get_token()); });
  stop.request_stop();
  runner.join();
  CHECK(result.end == End::cancelled);
}

TEST_CASE("a program that does not exist is an error that names it") {
  try {
    os::run_command({.arguments = {"no-such-program-here"}});
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::not_found);
    CHECK(std::string(error.what()) == "run no-such-program-here: No such file or directory");
  }
}

TEST_CASE("a program that is there and cannot be run is told apart from an absent one") {
  const test::TemporaryDirectory folder;
  const auto kind_of = [&folder](const char* name, mode_t mode, const char* text) {
    os::write_file_atomic(folder / name, text, mode);
    try {
      os::run_command({.arguments = {folder / name}});
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::internal;
  };
  CHECK(kind_of("not-executable", 0644, "#!/bin/sh\n") == ErrorKind::unavailable);
  CHECK(kind_of("no-interpreter", 0755, "#!/no/such/interpreter\n") == ErrorKind::unavailable);
  CHECK(kind_of("not-a-program", 0755, "text") == ErrorKind::unavailable);
}

TEST_CASE("a command's environment is what it is given, and nothing else") {
  os::Command command{.arguments = {"/usr/bin/env"}, .environment = std::vector<std::string>{"A=1", "LC_ALL=de_DE"}};
  CHECK(os::run_command(command).output == "A=1\nLC_ALL=de_DE\n");
  command.environment = std::vector<std::string>{};
  CHECK(os::run_command(command).output.empty());
}

TEST_CASE("a command without an environment of its own has this one's, with answers untranslated") {
  ::setenv("LC_ALL", "de_DE", 1);
  const std::string output = os::run_command({.arguments = {"/usr/bin/env"}}).output;
  ::unsetenv("LC_ALL");
  CHECK(output.contains("PATH="));
  CHECK(output.contains("LC_ALL=C\n"));
  CHECK(!output.contains("LC_ALL=de_DE"));
}

TEST_CASE("a background process that keeps the output open does not delay the end") {
  const auto result = os::run_command(shell("echo done; tail -f /dev/null & exit 0"));
  CHECK(result.succeeded());
  CHECK(result.output == "done\n");
}

TEST_CASE("what a process that outlives the command writes without pause is not read to its end") {
  const test::TemporaryDirectory folder;
  const std::string stop = folder / "stop";
  const auto result = os::run_command(
      shell("echo first; setsid sh -c 'while [ ! -e " + stop + " ]; do echo more || exit; done' & sleep 0.2"));
  os::write_file_atomic(stop, "", 0644);
  CHECK(result.succeeded());
  CHECK(result.output.starts_with("first\n"));
}

TEST_CASE("a command that cannot be killed is given up after a second, and no second one is started") {
  const test::TemporaryDirectory folder;
  const std::string file = folder / "held";
  test::FakeClock clock;
  const os::Command command{.arguments = {DSTACK_TEST_UNKILLABLE, file}, .limit = 5s};
  auto caller = std::async(std::launch::async, [&] { return os::run_command(command, {}, clock); });
  while (::access(file.c_str(), F_OK) != 0) std::this_thread::yield();
  clock.advance_until_ready(caller);
  const os::CommandResult result = caller.get();
  CHECK(result.end == End::timed_out);
  CHECK(result.hangs);
  CHECK(result.describe() == "gave no answer in time and cannot be killed");
  try {
    os::run_command(command, {}, clock);
    FAIL("a second one was started");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::unavailable);
    CHECK(std::string(error.what()).contains("was killed and still hangs in the kernel"));
  }
  // Another command of the same program is not held up.
  CHECK(os::run_command({.arguments = {DSTACK_TEST_UNKILLABLE}}).exit_status == 2);

  std::filesystem::remove(file);
  while (os::find_unkillable(DSTACK_TEST_UNKILLABLE + std::string(1, '\0') + file + '\0')) std::this_thread::yield();
}

TEST_CASE("programs are found through PATH") {
  CHECK(os::find_program("sh").has_value());
  CHECK(os::find_program("/bin/sh") == "/bin/sh");
  CHECK_FALSE(os::find_program("no-such-program-here"));
}

TEST_CASE("a program that somebody still writes to is waited for") {
  const test::TemporaryDirectory folder;
  test::FakeClock clock;
  const std::string program = (folder / "program").string();
  os::write_file_atomic(program, "#!/bin/sh\necho runs\n", 0755);
  os::UniqueFd writer = os::open_file(program, O_WRONLY);
  std::string output;
  std::jthread caller([&] { output = os::run_command({.arguments = {program}}, {}, clock).output; });
  clock.await_deadline_within(10ms);
  writer.reset();
  clock.advance(10ms);
  caller.join();
  CHECK(output == "runs\n");
}

TEST_CASE("a program that is never finished cannot be run") {
  const test::TemporaryDirectory folder;
  const std::string program = (folder / "program").string();
  os::write_file_atomic(program, "#!/bin/sh\necho runs\n", 0755);
  const os::UniqueFd writer = os::open_file(program, O_WRONLY);
  test::EagerClock clock;
  CHECK_THROWS_AS(os::run_command({.arguments = {program}}, {}, clock), Error);
}
