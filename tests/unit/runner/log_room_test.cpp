#include <sys/resource.h>

#include <spdlog/logger.h>
#include <spdlog/spdlog.h>
#include <catch2/catch_test_macros.hpp>
#include <csignal>
#include <memory>
#include <sstream>
#include <thread>

#include "runner/logs/event_log.h"
#include "runner/logs/job_log.h"
#include "runner/logs/text_maker.h"
#include "tests/support/fake_clock.h"
#include "tests/support/logged.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace std::chrono_literals;

namespace {

// No file of this process can be longer than that many bytes: stands in for a full disk, which answers the same way.
class FileLimit {
 public:
  explicit FileLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;
  ~FileLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

runner::Piece piece(std::string text) { return {.text = text, .text_size = static_cast<std::uint32_t>(text.size())}; }

}  // namespace

TEST_CASE("a full disk is told once, loses what does not fit, and the log goes on when there is room") {
  const test::TemporaryDirectory folder;
  test::FakeClock clock;
  runner::Stamps stamps(clock);
  runner::JobLog log(folder.path(), stamps);
  const test::Logged said;
  {
    const FileLimit limit(8);
    log.append("12345");
    log.append("67890");
    log.append("lost");
  }
  log.append("more");
  std::string text(100, '\0');
  text.resize(log.read(0, text));
  CHECK(text == "12345678more");
  CHECK(log.size() == 12);
  CHECK(log.lost() == 6);
  CHECK(said.text() ==
        "The job's output cannot be kept: File too large. The job goes on, and so does its log when there is room "
        "again\n");
}

TEST_CASE("events that find no room are added whole or not at all") {
  const test::TemporaryDirectory folder;
  runner::EventLog events(folder.path(), "job", nullptr);
  REQUIRE(events.add(1, std::vector{piece("one")}));
  {
    const FileLimit limit(70);
    CHECK_FALSE(events.add(2, std::vector{piece("two"), piece("three")}));
  }
  CHECK(events.count() == 1);
  REQUIRE(events.add(3, std::vector{piece("four")}));
  std::string text;
  events.text(events.event(1), text);
  CHECK(text == "four");
  CHECK(events.text_before(2) == 7);
}

TEST_CASE("plain text waits for room on the disk") {
  const test::TemporaryDirectory folder;
  test::FakeClock clock;
  runner::Stamps stamps(clock);
  runner::JobLog log(folder.path(), stamps);
  std::mutex mutex;
  int tries = 0;
  bool room = false;
  std::string text;
  runner::TextMaker maker(log, clock, [&](const std::vector<runner::Piece>& pieces) {
    const std::scoped_lock lock(mutex);
    ++tries;
    if (!room) return false;
    text.resize(pieces.front().raw->size);
    log.read(pieces.front().raw->position, text);
    return true;
  });
  const auto tried = [&] {
    const std::scoped_lock lock(mutex);
    return tries;
  };
  log.append("text\n");
  while (tried() < 2) {
    clock.advance(100ms);
    std::this_thread::yield();
  }
  {
    const std::scoped_lock lock(mutex);
    room = true;
  }
  const auto kept = [&] {
    const std::scoped_lock lock(mutex);
    return text;
  };
  while (kept().empty()) {
    clock.advance(100ms);
    std::this_thread::yield();
  }
  CHECK(kept() == "text\n");
}
