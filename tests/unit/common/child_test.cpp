#include "common/os/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <csignal>
#include <future>
#include <thread>

#include "common/error.h"
#include "common/os/child_lines.h"
#include "common/os/child_thread.h"
#include "common/os/core_files.h"
#include "common/os/file.h"
#include "common/os/signals.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace std::chrono_literals;

namespace {

os::ChildSpec shell(std::string script) {
  return {.arguments = {"/bin/sh", "-c", std::move(script)},
          .output = os::ChildStream::pipe(),
          .errors = os::ChildStream::pipe()};
}

bool is_readable(int fd, int limit_ms) {
  pollfd event{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&event, 1, limit_ms) > 0;
}

using Outcome = os::ChildLines::Outcome;
using Stream = os::ChildLines::Stream;

}  // namespace

TEST_CASE("a child's end is seen and its status is kept") {
  os::Child child(shell("read line; exit 3"));
  CHECK(child.wait() == os::ExitStatus{.code = 3});
  CHECK(child.try_wait() == os::ExitStatus{.code = 3});
  CHECK(child.kill() == os::ExitStatus{.code = 3});
}

TEST_CASE("a process that forbids its core files starts children with the limit that it had") {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_CORE, &before) == 0);
  rlimit given{.rlim_cur = std::min<rlim_t>(before.rlim_max, 5120), .rlim_max = before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_CORE, &given) == 0);
  os::forbid_core_files();
  rlimit own{};
  CHECK(::getrlimit(RLIMIT_CORE, &own) == 0);
  CHECK(own.rlim_cur <= 1);
  CHECK(own.rlim_max == before.rlim_max);
  os::Child child(
      shell("test $(awk '/Max core file size/ { print $5 }' /proc/self/limits) = " + std::to_string(given.rlim_cur)));
  CHECK(child.wait() == os::ExitStatus{.code = 0});
  CHECK(::setrlimit(RLIMIT_CORE, &before) == 0);
}

TEST_CASE("a child that runs has no status yet, and a signal ends it") {
  os::Child child(shell("exec sleep 1000"));
  CHECK_FALSE(child.try_wait());
  CHECK_FALSE(is_readable(child.ended_fd(), 0));
  child.signal(SIGTERM);
  CHECK(is_readable(child.ended_fd(), -1));
  const auto status = child.try_wait();
  REQUIRE(status);
  CHECK(status->signal == SIGTERM);
  CHECK(status->describe() == "was killed by signal 15");
  CHECK_FALSE(status->succeeded());
}

TEST_CASE("waiting for a child ends with the deadline or a stop, and the child goes on") {
  test::FakeClock clock;
  os::Child child(shell("exec sleep 1000"), clock);
  std::optional<os::ExitStatus> status = os::ExitStatus{};
  std::thread waiter([&] { status = child.wait({}, clock.now() + 10s); });
  clock.await_waiters();
  clock.advance(10s);
  waiter.join();
  CHECK_FALSE(status);

  std::stop_source stop;
  stop.request_stop();
  CHECK_FALSE(child.wait(stop.get_token()));
  CHECK_FALSE(child.try_wait());
}

TEST_CASE("a child and its process group end with the object, and no zombie is left") {
  const test::TemporaryDirectory folder;
  const std::string fifo = folder / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  os::UniqueFd reader;
  pid_t pid = 0;
  {
    // Both hold the fifo's writing end open.
    const os::Child child(shell("exec 3> " + fifo + "; sleep 1000 & sleep 1000"));
    pid = child.pid();
    reader = os::open_file(fifo, O_RDONLY);
  }
  char byte = 0;
  CHECK(::read(reader.get(), &byte, 1) == 0);
  CHECK(::waitpid(pid, nullptr, WNOHANG) == -1);
}

TEST_CASE("what a child leaves in its process group ends with it") {
  const test::TemporaryDirectory folder;
  const std::string fifo = folder / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  os::Child child(shell("exec 3> " + fifo + "; sleep 1000 & exit 0"));
  const os::UniqueFd reader = os::open_file(fifo, O_RDONLY);
  CHECK(child.wait() == os::ExitStatus{});
  char byte = 0;
  CHECK(::read(reader.get(), &byte, 1) == 0);
}

TEST_CASE("a child can be ended alone") {
  os::ChildSpec spec = shell("sleep 1000 & echo $!; wait");
  spec.spare_group = true;
  os::Child child(spec);
  os::ChildLines lines(child);
  const pid_t left = std::stoi(lines.next().text);
  CHECK(child.kill().has_value());
  CHECK(::kill(left, 0) == 0);
  ::kill(left, SIGKILL);
}

TEST_CASE("a child reads what is written to it until its input is closed") {
  os::ChildSpec spec{
      .arguments = {"cat"}, .input = os::ChildStream::pipe(), .output = os::ChildStream::pipe(), .errors = {}};
  os::Child child(spec);
  os::ChildLines lines(child);
  CHECK(child.write("one\ntw"));
  CHECK(lines.next().text == "one");
  CHECK(child.write("o\n"));
  CHECK(lines.next().text == "two");
  child.input().reset();
  CHECK(lines.next().outcome == Outcome::ended);
  CHECK(child.wait() == os::ExitStatus{});
}

TEST_CASE("writing to a child that does not read ends with the deadline") {
  os::ignore_broken_pipes();
  test::FakeClock clock;
  os::Child child({.arguments = {"sleep", "1000"}, .input = os::ChildStream::pipe(), .output = {}, .errors = {}},
                  clock);
  bool written = true;
  std::thread writer([&] { written = child.write(std::string(1 << 20, 'x'), {}, clock.now() + 5s); });
  clock.await_waiters();
  clock.advance(5s);
  writer.join();
  CHECK_FALSE(written);
}

TEST_CASE("a child's lines arrive with the stream they were written to") {
  os::Child child(shell("echo out; echo err >&2; printf 'a\\r\\n\\nlast'"));
  os::ChildLines lines(child);
  std::vector<std::string> output;
  std::vector<std::string> errors;
  while (true) {
    const auto next = lines.next();
    if (next.outcome == Outcome::ended) break;
    REQUIRE(next.outcome == Outcome::line);
    (next.stream == Stream::output ? output : errors).push_back(next.text);
  }
  CHECK(output == std::vector<std::string>{"out", "a", "", "last"});
  CHECK(errors == std::vector<std::string>{"err"});
}

TEST_CASE("a line without an end arrives in pieces") {
  os::Child child(shell("printf 123456789; exec sleep 1000"));
  os::ChildLines lines(child, 4);
  CHECK(lines.next().text == "1234");
  CHECK(lines.next().text == "5678");
  std::stop_source stop;
  stop.request_stop();
  CHECK(lines.next(stop.get_token()).outcome == Outcome::stopped);
}

TEST_CASE("reading a line ends with the deadline") {
  test::FakeClock clock;
  os::Child child(shell("exec sleep 1000"), clock);
  os::ChildLines lines(child);
  os::ChildLines::Next next;
  std::thread reader([&] { next = lines.next({}, clock.now() + 3s); });
  clock.await_waiters();
  clock.advance(3s);
  reader.join();
  CHECK(next.outcome == Outcome::timed_out);
}

TEST_CASE("the lines of a child that has ended do not wait for what it left behind") {
  os::Child child(shell("echo first; setsid sleep 1000 & echo $!"));
  os::ChildLines lines(child);
  CHECK(lines.next().text == "first");
  const pid_t left = std::stoi(lines.next().text);
  CHECK(lines.next().outcome == Outcome::ended);
  ::kill(left, SIGKILL);
}

TEST_CASE("a child begins as a fresh program does") {
  ::signal(SIGUSR1, SIG_IGN);
  const os::UniqueFd foreign(::open("/dev/null", O_RDONLY));  // not closed by exec
  os::Child child(shell("grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd | tr '\\n' ' '"));
  ::signal(SIGUSR1, SIG_DFL);
  os::ChildLines lines(child);
  CHECK(lines.next().text == "SigBlk:\t0000000000000000");
  CHECK(lines.next().text == "SigIgn:\t0000000000000000");
  CHECK(lines.next().text == "0 1 2 3 ");  // 3 is what ls reads
}

TEST_CASE("a child with a session of its own leads it, in the folder and with the streams that it was given") {
  const test::TemporaryDirectory folder;
  const os::UniqueFd log = os::open_file(folder / "log", O_WRONLY | O_CREAT | O_APPEND, 0644);
  const std::string script =
      "set -- $(cat /proc/$$/stat); [ $6 = $$ ] && echo leader; pwd; echo $A; read line; echo $? >&2";
  os::Child child({.arguments = {"sh", "-c", script},
                   .program = "/bin/sh",
                   .environment = std::vector<std::string>{"A=value", "PATH=/usr/bin:/bin"},
                   .working_dir = folder.path(),
                   .input = {},
                   .output = os::ChildStream::to(log.get()),
                   .errors = os::ChildStream::to(log.get()),
                   .own_session = true,
                   .user = {}});
  CHECK(child.wait() == os::ExitStatus{});
  CHECK(os::read_file(folder / "log") == "leader\n" + folder.path().string() + "\nvalue\n1\n");
}

TEST_CASE("a step before the program that fails is named") {
  os::ChildSpec spec = shell("true");
  spec.working_dir = "/no/such/folder";
  try {
    os::Child child(spec);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::unavailable);
    CHECK(std::string(error.what()) == "enter the working folder \"/no/such/folder\": No such file or directory");
  }
}

TEST_CASE("a child that is to die with its parent does, however that ends") {
  os::Child owner({.arguments = {DSTACK_TEST_CHILD_OWNER, "sleep", "1000"}, .output = os::ChildStream::pipe()});
  os::ChildLines lines(owner);
  const std::string pid = lines.next().text;
  owner.signal(SIGKILL);
  // Gone, or waiting for its new parent to notice.
  const auto is_gone = [&pid] {
    const auto stat = os::try_read_file("/proc/" + pid + "/stat");
    return !stat || stat->contains(") Z ");
  };
  while (!is_gone()) std::this_thread::yield();
  SUCCEED();
}

TEST_CASE("a child that is to die with its parent outlives the thread that started it") {
  os::ChildSpec spec = shell("read line; exec sleep 1000");
  spec.input = os::ChildStream::pipe();
  spec.dies_with_parent = true;
  std::optional<os::Child> child;
  std::thread([&] { child.emplace(spec); }).join();
  child->write("\n");
  CHECK_FALSE(is_readable(child->ended_fd(), 100));
  child->signal(SIGTERM);
  CHECK(child->wait()->signal == SIGTERM);
}

TEST_CASE("a child that cannot be killed holds its owner up for a second") {
  const test::TemporaryDirectory folder;
  const std::string file = folder / "held";
  test::FakeClock clock;
  auto child = std::make_unique<os::Child>(
      os::ChildSpec{.arguments = {DSTACK_TEST_UNKILLABLE, file}, .output = os::ChildStream::pipe(), .errors = {}},
      clock);
  os::ChildLines lines(*child);
  REQUIRE(lines.next().text == "held");
  const pid_t pid = child->pid();
  const auto owner = std::async(std::launch::async, [&] { child.reset(); });
  clock.advance_until_ready(owner);
  CHECK(std::ranges::contains(os::started_children(), pid));
  std::filesystem::remove(file);
  while (std::ranges::contains(os::started_children(), pid)) std::this_thread::yield();
}
