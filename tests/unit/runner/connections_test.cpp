#include "runner/ssh/connections.h"

#include <catch2/catch_test_macros.hpp>
#include <fstream>

#include "tests/support/fake_clock.h"
#include "tests/support/temporary_directory.h"

namespace dstack::runner::ssh {

namespace {

using namespace std::chrono_literals;

constexpr const char* kHeader =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

// A line of /proc/net/tcp: state 01 is established, 0A listening, 06 waiting after the end. Port 2726 is 10022.
std::string line(const std::string& state, const std::string& inode, const std::string& port = "2726") {
  return "   0: 0100007F:" + port + " 0200007F:C001 " + state +
         " 00000000:00000000 00:00000000 00000000     0        0 " + inode + " 1 ffff8881 100 0 0 10 0\n";
}

class Watched {
 public:
  Watched() { set(""); }
  void set(const std::string& lines) { std::ofstream(folder_ / "tcp") << kHeader << lines; }
  // Lets looks happen until `by` has passed.
  void pass(std::chrono::milliseconds by) {
    for (auto passed = 0ms; passed < by; passed += 2500ms) {
      clock.await_deadline_within(2500ms);
      clock.advance(2500ms);
    }
    // The next wait has begun, so the last look is done.
    clock.await_deadline_within(2500ms);
  }

  test::FakeClock clock;

 private:
  test::TemporaryDirectory folder_;

 public:
  ConnectionWatch watch{10022, clock, folder_.path()};
};

}  // namespace

TEST_CASE("connections are those to the port that are established") {
  CHECK(find_connections(kHeader + line("01", "77") + line("01", "78") + line("0A", "79") + line("06", "80") +
                             line("01", "81", "2727"),
                         10022) == std::set<std::string>{"0200007F:C001 77", "0200007F:C001 78"});
  CHECK(find_connections("  sl  local_address\n 0: 00000000000000000000000001000000:2726 "
                         "00000000000000000000000001000000:C001 01 a b c d e 5\n",
                         10022)
            .size() == 1);
  CHECK(find_connections("", 10022).empty());
  CHECK(find_connections("nonsense\n\n: : :\n0: x y 01", 10022).empty());
}

TEST_CASE("nothing is counted before the start") {
  Watched watched;
  watched.clock.advance(1h);
  CHECK(watched.watch.seconds_without() == 0);
}

TEST_CASE("without a connection the time counts from the start") {
  Watched watched;
  watched.watch.start();
  watched.pass(60s);
  CHECK(watched.watch.seconds_without() == 60);
}

TEST_CASE("a connection counts once it has lasted more than 10 s") {
  Watched watched;
  watched.watch.start();
  watched.set(line("01", "77"));
  watched.pass(12500ms);
  CHECK(watched.watch.seconds_without() == 12);
  watched.pass(2500ms);
  CHECK(watched.watch.seconds_without() == 0);
  watched.set("");
  watched.pass(20s);
  CHECK(watched.watch.seconds_without() == 20);
}

TEST_CASE("short connections after each other are not a long one") {
  Watched watched;
  watched.watch.start();
  for (int i = 0; i < 6; ++i) {
    watched.set(line("01", std::to_string(i)));
    watched.pass(10s);
  }
  CHECK(watched.watch.seconds_without() == 60);
}

TEST_CASE("where connections cannot be seen nothing is claimed") {
  test::FakeClock clock;
  ConnectionWatch watch(10022, clock, "/no/such");
  watch.start();
  clock.await_deadline_within(2500ms);
  clock.advance(2500ms);
  clock.await_deadline_within(2500ms);
  CHECK_FALSE(watch.seconds_without());
}

}  // namespace dstack::runner::ssh
