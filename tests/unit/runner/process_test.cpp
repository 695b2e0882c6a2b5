#include "runner/job/process.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <csignal>
#include <fstream>

#include "common/error.h"
#include "runner/job/capabilities.h"
#include "runner/job/program.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/runner/running_job.h"

namespace dstack::runner::job {

namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using test::RunningJob;

// What a script prints, with the terminal's line ends made plain.
std::string output_of(const ProcessSpec& spec) {
  RunningJob job(spec);
  job.process.wait();
  std::string text = job.rest();
  std::erase(text, '\r');
  return text;
}

std::string output_of(const std::string& script) { return output_of(RunningJob::spec(script)); }

}  // namespace

TEST_CASE("a process that exits has its status") {
  RunningJob job("exit 3");
  const ExitStatus status = job.process.wait();
  CHECK(status.code == 3);
  CHECK_FALSE(status.signal);
}

TEST_CASE("a process that a signal ended has its number") {
  RunningJob job("kill -TERM $$");
  CHECK(job.process.wait().signal == SIGTERM);
}

TEST_CASE("the last bytes before the end are read") {
  RunningJob job("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; printf last");
  job.process.wait();
  const std::string text = job.rest();
  CHECK(text.ends_with("line 1999\r\nlast"));
  CHECK(std::ranges::count(text, '\n') == 2000);
}

TEST_CASE("a process leads a session of its own on the terminal") {
  RunningJob job(
      "tty > /dev/null && read -r _ _ _ _ group session tty _ < /proc/$$/stat; "
      "[ $group = $$ ] && [ $session = $$ ] && [ $tty != 0 ] && echo leader > /dev/tty");
  CHECK(job.process.wait().code == 0);
  CHECK(job.rest() == "leader\r\n");
}

TEST_CASE("a process has three descriptors") {
  CHECK(output_of("for fd in 0 1 2 3 4 5 6 7 8 9 10 11 12; do [ -e /proc/$$/fd/$fd ] && echo $fd; done") ==
        "0\n1\n2\n");
}

TEST_CASE("a process starts with no signal blocked or ignored") {
  sigset_t blocked;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGTERM);
  ::sigaddset(&blocked, SIGCHLD);
  ::pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  CHECK(output_of("while read -r n v; do case $n in SigBlk:|SigIgn:) echo $v;; esac; done < /proc/self/status") ==
        "0000000000000000\n0000000000000000\n");
}

TEST_CASE("a process gets its arguments and variables byte by byte") {
  ProcessSpec spec = RunningJob::spec("");
  spec.arguments = {"sh", "-c", R"(printf '%s|' "$0" "$@" "$X")", "zero", "a b", "", "two\nlines"};
  spec.environment = {"X=\xff*"};
  CHECK(output_of(spec) == "zero|a b||two\nlines|\xff*|");
}

TEST_CASE("a process starts in its working folder") {
  const test::TemporaryDirectory folder;
  ProcessSpec spec = RunningJob::spec("pwd");
  spec.working_dir = folder.path();
  CHECK(output_of(spec) == folder.path().string() + "\n");
}

TEST_CASE("a process runs as its user and its groups alone, and owns its terminal") {
  if (!can_change_user()) SKIP("needs root");
  ProcessSpec spec = RunningJob::spec("id -u; id -g; id -G; stat -c %u \"$(tty)\"");
  spec.user.uid = 4242;
  spec.user.gid = 4243;
  spec.user.groups = {4243, 4244};
  CHECK(output_of(spec) == "4242\n4243\n4243 4244\n4242\n");
}

TEST_CASE("a process may lock as much memory as it likes, where the runner may allow it") {
  rlimit own{};
  REQUIRE(::getrlimit(RLIMIT_MEMLOCK, &own) == 0);
  const bool unlimited = has_capability(Capability::sys_resource) || own.rlim_cur == RLIM_INFINITY;
  CHECK((output_of("ulimit -l") == "unlimited\n") == unlimited);
}

TEST_CASE("what keeps a program from starting is said with its name") {
  const test::TemporaryDirectory folder;
  ProcessSpec spec = RunningJob::spec("");
  SECTION("it is not there") {
    spec.program = "/no/such";
    CHECK_THROWS_MATCHES(RunningJob(spec), Error,
                         MessageMatches(ContainsSubstring("execute \"/no/such\": No such file")));
  }
  SECTION("it is not executable") {
    std::ofstream(folder / "file") << "text";
    spec.program = folder / "file";
    CHECK_THROWS_MATCHES(RunningJob(spec), Error, MessageMatches(ContainsSubstring("Permission denied")));
  }
  SECTION("it is no program") {
    std::ofstream(folder / "file") << "text";
    REQUIRE(::chmod((folder / "file").c_str(), 0755) == 0);
    spec.program = folder / "file";
    CHECK_THROWS_MATCHES(RunningJob(spec), Error, MessageMatches(ContainsSubstring("Exec format error")));
  }
  SECTION("it is for another architecture") {
    std::string header(
        "\x7f"
        "ELF\x02\x01\x01",
        7);
    header.resize(64);
    header[16] = 2;
    header[18] = 22;  // IBM Z
    std::ofstream(folder / "file") << header;
    REQUIRE(::chmod((folder / "file").c_str(), 0755) == 0);
    spec.program = folder / "file";
    CHECK_THROWS_MATCHES(RunningJob(spec), CannotExecute,
                         MessageMatches(ContainsSubstring("it is for IBM Z") &&
                                        ContainsSubstring("the image is of another architecture")));
  }
  SECTION("a variable is too long") {
    spec.environment.push_back("LONG=" + std::string(200'000, 'x'));
    CHECK_THROWS_MATCHES(
        RunningJob(spec), Error,
        MessageMatches(ContainsSubstring("the variable \"LONG\" has 200005 bytes, and one may have 131071 at most")));
  }
  SECTION("an argument is too long") {
    spec.arguments.emplace_back(200'000, 'x');
    CHECK_THROWS_MATCHES(RunningJob(spec), Error, MessageMatches(ContainsSubstring("commands[3] has 200000 bytes")));
  }
  SECTION("all variables together are too long") {
    for (int i = 0; i < 100; ++i) {
      spec.environment.push_back(std::to_string(i) + "=" + std::string(100'000 + static_cast<std::size_t>(i), 'x'));
    }
    CHECK_THROWS_MATCHES(RunningJob(spec), Error,
                         MessageMatches(ContainsSubstring("of which the variable \"99\" has")));
  }
  SECTION("its interpreter is not there") {
    std::ofstream(folder / "file") << "#!/no/such/sh\n";
    REQUIRE(::chmod((folder / "file").c_str(), 0755) == 0);
    spec.program = folder / "file";
    CHECK_THROWS_MATCHES(RunningJob(spec), Error, MessageMatches(ContainsSubstring("interpreter")));
  }
  SECTION("the working folder is a file") {
    std::ofstream(folder / "file") << "text";
    spec.working_dir = folder / "file";
    CHECK_THROWS_MATCHES(RunningJob(spec), Error,
                         MessageMatches(ContainsSubstring("working folder") && ContainsSubstring("Not a directory")));
  }
  SECTION("an argument is longer than the kernel takes") {
    spec.arguments.push_back(std::string(1 << 20, 'x'));
    CHECK_THROWS_MATCHES(RunningJob(spec), Error, MessageMatches(ContainsSubstring("Argument list too long")));
  }
  SECTION("an argument has a NUL byte") {
    spec.arguments.push_back(std::string("a\0b", 3));
    CHECK_THROWS_MATCHES(RunningJob(spec), Error, MessageMatches(ContainsSubstring("commands[3]")));
  }
}

TEST_CASE("a process that nobody waits for is killed") {
  pid_t pid = 0;
  {
    const RunningJob job("exec sleep 1000");
    pid = job.process.pid();
  }
  CHECK(::kill(pid, 0) == -1);
}

}  // namespace dstack::runner::job
