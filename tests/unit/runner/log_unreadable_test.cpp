#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <mutex>
#include <thread>

#include "common/error.h"
#include "common/os/unique_fd.h"
#include "runner/logs/event_log.h"
#include "runner/logs/job_log.h"
#include "runner/logs/text_maker.h"
#include "tests/support/fake_clock.h"
#include "tests/support/logged.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace std::chrono_literals;

namespace {

// The file of that descriptor cannot be read as long as this lives. Stands in for a failing disk, which only has
// another errno value.
class Unreadable {
 public:
  explicit Unreadable(int file) : file_(file), before_(::fcntl(file, F_DUPFD_CLOEXEC, 0)) {
    const os::UniqueFd write_only(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    ::dup3(write_only.get(), file_, O_CLOEXEC);
  }
  Unreadable(const Unreadable&) = delete;
  Unreadable& operator=(const Unreadable&) = delete;
  ~Unreadable() { ::dup3(before_.get(), file_, O_CLOEXEC); }

 private:
  int file_;
  os::UniqueFd before_;
};

struct Fixture {
  test::TemporaryDirectory folder;
  test::FakeClock clock;
  runner::Stamps stamps{clock};
  runner::JobLog log{folder.path(), stamps};
  test::Logged said;
  std::mutex mutex;
  std::string shown;

  bool show(const std::vector<runner::Piece>& pieces) {
    const std::scoped_lock lock(mutex);
    for (const runner::Piece& piece : pieces) {
      std::string text(piece.raw->size, '\0');
      text.resize(log.read(piece.raw->position, text));
      shown += text;
    }
    return true;
  }
  std::string text() {
    const std::scoped_lock lock(mutex);
    return shown;
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "output that cannot be read once is read again for its plain text") {
  log.append("text\n");
  log.end();
  std::optional<Unreadable> failing(log.fd());
  runner::TextMaker maker(log, clock, [this](const auto& pieces) { return show(pieces); });
  clock.await_deadline_within(1s);
  failing.reset();
  clock.advance(1s);
  maker.wait_until_done();
  CHECK(text() == "text\n");
  CHECK(said.text() == "Make the plain text of the job's output: read the job's output: Bad file descriptor\n");
}

TEST_CASE_METHOD(Fixture, "output that stays unreadable is left out of its plain text, and what follows is shown") {
  log.append("unfinished line");
  std::optional<Unreadable> failing(log.fd());
  runner::TextMaker maker(log, clock, [this](const auto& pieces) { return show(pieces); });
  clock.await_deadline_within(1s);
  clock.advance(1s);
  while (!said.text().contains("left out")) std::this_thread::yield();
  CHECK(
      said.text().contains("15 bytes of the job's output are left out of its plain text: read the job's output: Bad"));
  failing.reset();
  log.append("what follows\n");
  log.end();
  maker.wait_until_done();
  CHECK(text() == "what follows\n");
}

TEST_CASE_METHOD(Fixture, "text that cannot be read is an error and not less text") {
  log.append("text\n");
  runner::EventLog events(folder.path(), "job", &log);
  REQUIRE(
      events.add(1, std::vector{runner::Piece{.raw = runner::Piece::Raw{.position = 0, .size = 5}, .text_size = 5}}));
  std::string text;
  {
    const Unreadable failing(log.fd());
    CHECK_THROWS_AS(events.text(events.event(0), text), Error);
  }
  events.text(events.event(0), text);
  CHECK(text == "text\n");
}
