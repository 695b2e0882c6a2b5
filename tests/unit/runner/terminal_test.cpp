#include "runner/job/terminal.h"

#include <catch2/catch_test_macros.hpp>
#include <csignal>

#include "tests/support/fake_clock.h"
#include "tests/unit/runner/running_job.h"

namespace dstack::runner::job {

using test::RunningJob;

TEST_CASE("an interrupt is a Ctrl-C for the foreground processes") {
  RunningJob job("echo ready; exec sleep 1000");
  job.output.await("ready");
  job.terminal.interrupt();
  CHECK(job.process.wait().signal == SIGINT);
  CHECK(job.rest() == "ready\r\n^C");
}

TEST_CASE("an interrupt leaves in place what was written and not read yet") {
  Terminal terminal;
  Process process(RunningJob::spec("trap 'exit 5' INT; echo before; kill -STOP $$; while :; do sleep 0.01; done"),
                  terminal);
  // Stopped: all it has written by now is in the terminal, and nobody reads.
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(process.pid()), &info, WSTOPPED) == 0);
  terminal.interrupt();
  ::kill(process.pid(), SIGCONT);
  CHECK(process.wait().code == 5);
  test::Output output;
  TerminalReader reader(terminal.output(), [&output](std::string_view text) { output.append(text); });
  reader.begin();
  reader.finish();
  CHECK(output.text().starts_with("before\r\n"));
}

TEST_CASE("a terminal without an interrupt character passes on the signal itself") {
  RunningJob job("stty intr undef; echo ready; exec sleep 1000");
  job.output.await("ready");
  job.terminal.interrupt();
  CHECK(job.process.wait().signal == SIGINT);
}

TEST_CASE("a program that reads single keys gets the interrupt as one") {
  RunningJob job("stty raw -echo; echo ready; dd bs=1 count=1 2>/dev/null | od -An -tx1");
  job.output.await("ready");
  job.terminal.interrupt();
  job.process.wait();
  CHECK(job.rest().contains("03"));
}

TEST_CASE("an interrupt of nobody does nothing") {
  Terminal terminal;
  terminal.interrupt();
}

TEST_CASE("a terminal nobody has open for a while is not at its end") {
  RunningJob job("exec < /dev/null > /dev/null 2>&1; sleep 0.1; echo again > /dev/tty");
  job.process.wait();
  CHECK(job.rest() == "again\r\n");
}

TEST_CASE("a terminal has 24 lines and 80 columns") {
  RunningJob job("stty size");
  job.process.wait();
  CHECK(job.rest() == "24 80\r\n");
}

TEST_CASE("a process that writes without a pause does not keep the reader from its end") {
  RunningJob job("exec yes");
  job.output.await("y");
  job.reader.finish();
  ::kill(job.process.pid(), SIGKILL);
  job.process.wait();
}

TEST_CASE("what a job writes quickly in small pieces gathers for a moment") {
  test::FakeClock clock;
  Terminal terminal;
  test::Output output;
  TerminalReader reader(terminal.output(), [&output](std::string_view text) { output.append(text); }, clock);
  reader.begin();
  const auto write = [&terminal](const std::string& line) {
    REQUIRE(::write(terminal.job_side(), line.data(), line.size()) == static_cast<ssize_t>(line.size()));
  };
  // A byte in a microsecond: a megabyte in a second.
  while (!clock.has_waiters()) {
    write("x");
    clock.advance(std::chrono::microseconds(1));
  }
  write("gathered\n");
  SECTION("and is read when that moment is over") {
    CHECK_FALSE(output.text().contains("gathered"));
    clock.advance(std::chrono::milliseconds(1));
    output.await("gathered");
  }
  SECTION("and is read at once at the end") {
    reader.finish();
    CHECK(output.text().ends_with("gathered\r\n"));
  }
}

}  // namespace dstack::runner::job
