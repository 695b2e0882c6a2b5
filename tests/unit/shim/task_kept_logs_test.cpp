#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>

#include "common/error.h"
#include "common/os/file.h"
#include "shim/task/kept_logs.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace std::chrono_literals;
using shim::task::KeptLogs;
using shim::task::parse_log_limits;
namespace fs = std::filesystem;

namespace {

struct LogsFixture {
  test::FakeClock clock;
  test::TemporaryDirectory folder;
  const fs::path logs = folder / "logs";

  LogsFixture() { clock.set_wall(std::chrono::system_clock::now()); }  // as the files' times are

  fs::path runner(const std::string& name) const {
    fs::create_directories(folder / "runners" / name);
    return folder / "runners" / name;
  }
  fs::path journal(const std::string& name) const {
    fs::create_directories(folder / "tasks" / name);
    return folder / "tasks" / name;
  }
  static void write(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

  void keep(KeptLogs& kept, const std::string& name) const { kept.keep(name, runner(name), journal(name), nullptr); }

  // As if it had been written so long ago.
  void age(const std::string& name, std::chrono::seconds by) const {
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(clock.wall().time_since_epoch());
    const timespec time{.tv_sec = (now - by).count(), .tv_nsec = 0};
    const timespec times[2] = {time, time};
    for (const auto& file : fs::directory_iterator(logs / name))
      REQUIRE(::utimensat(AT_FDCWD, file.path().c_str(), times, 0) == 0);
  }
};

}  // namespace

TEST_CASE("limits of kept logs are a size and an age") {
  CHECK(parse_log_limits("10G,30d").bytes == 10ULL << 30);
  CHECK(parse_log_limits("10G,30d").age == std::chrono::days(30));
  CHECK(parse_log_limits("500M,12h").age == 12h);
  for (const char* wrong : {"", "10G", "10,30d", "10G,30", "0G,1d", "10G,30d,", "-1G,1d", "99999999999T,1d", "G,d"}) {
    CHECK_THROWS_AS(parse_log_limits(wrong), Error);
  }
}

TEST_CASE_METHOD(LogsFixture, "a task's logs are moved to a folder of its own that root alone may read") {
  KeptLogs kept(logs, {.bytes = 1 << 20, .age = 1h}, clock);
  write(runner("a") / "job.log", "output");
  write(runner("a") / "runner.log", "");
  write(journal("a") / "pull.log", "pulled");
  keep(kept, "a");
  age("a", 1min);
  CHECK(os::read_file(logs / "a/job.log") == "output");
  CHECK(os::read_file(logs / "a/pull.log") == "pulled");
  CHECK_FALSE(fs::exists(logs / "a/runner.log"));
  CHECK_FALSE(fs::exists(runner("a") / "job.log"));
  CHECK(fs::status(logs / "a").permissions() == fs::perms(0700));
  CHECK(fs::status(logs / "a/job.log").permissions() == fs::perms(0600));
  keep(kept, "b");
  CHECK_FALSE(fs::exists(logs / "b"));
}

TEST_CASE_METHOD(LogsFixture, "what a job put in place of its logs is not taken") {
  KeptLogs kept(logs, {.bytes = 1 << 20, .age = 1h}, clock);
  write(folder / "secret", "secret");
  fs::create_symlink(folder / "secret", runner("a") / "job.log");
  fs::create_hard_link(folder / "secret", runner("a") / "runner.log");
  REQUIRE(::mkfifo((runner("a") / "default.log").c_str(), 0600) == 0);
  keep(kept, "a");
  CHECK_FALSE(fs::exists(logs / "a"));
  fs::remove_all(runner("b"));
  fs::create_directory_symlink(runner("a"), folder / "runners/b");
  write(folder / "runners/a/default.log.x", "");
  kept.keep("b", folder / "runners/b", journal("b"), nullptr);
  CHECK_FALSE(fs::exists(logs / "b"));
}

TEST_CASE_METHOD(LogsFixture, "the output of a task without a runner is asked for, and a failure keeps the rest") {
  KeptLogs kept(logs, {.bytes = 1 << 20, .age = 1h}, clock);
  write(journal("a") / "pull.log", "pulled");
  kept.keep("a", runner("a"), journal("a"), [](int fd) {
    os::write_all(fd, "hello", "output");
    throw Error(ErrorKind::unavailable, "the engine is away");
  });
  age("a", 1min);
  CHECK(os::read_file(logs / "a/output.log") == "hello");
  CHECK(os::read_file(logs / "a/pull.log") == "pulled");
}

TEST_CASE_METHOD(LogsFixture, "what is too old is removed, then the oldest until the rest is small enough") {
  KeptLogs kept(logs, {.bytes = 3 << 12, .age = 1h}, clock);
  for (const char* name : {"old", "middle", "new"}) {
    write(runner(name) / "job.log", "x");
    keep(kept, name);
    age(name, name == std::string("old") ? 61min : name == std::string("middle") ? 30min : 1min);
  }
  kept.prune();
  CHECK_FALSE(fs::exists(logs / "old"));
  CHECK(fs::exists(logs / "middle"));
  write(runner("large") / "job.log", std::string(2 << 12, 'x'));
  keep(kept, "large");
  age("large", 0s);
  kept.prune();
  CHECK_FALSE(fs::exists(logs / "middle"));
  CHECK(fs::exists(logs / "new"));
  CHECK(fs::exists(logs / "large"));
}
