#include <fcntl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <csignal>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "common/http/server.h"
#include "common/os/unique_fd.h"
#include "shim/ci/stop_on_signal.h"
#include "tests/support/fake_clock.h"
#include "tests/support/running_server.h"

namespace dstack::shim::ci {

using namespace std::chrono_literals;

namespace {

// In place of a descriptor of signals: what is sent here is read there.
class Signals {
 public:
  Signals() {
    int ends[2] = {-1, -1};
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    read_.reset(ends[0]);
    write_.reset(ends[1]);
  }
  void send(int number) const {
    signalfd_siginfo info{};
    info.ssi_signo = static_cast<std::uint32_t>(number);
    REQUIRE(::write(write_.get(), &info, sizeof info) == sizeof info);
  }
  const os::UniqueFd& fd() const { return read_; }

 private:
  os::UniqueFd read_;
  os::UniqueFd write_;
};

// The runner of a held container, which is asked to stop a program.
class Runner {
 public:
  Runner() {
    server_.post("/api/exec/{id}/stop", [this](const http::Request& request) {
      const std::scoped_lock lock(mutex_);
      asked_.push_back(nlohmann::json::parse(request.body));
      return http::Response{.status = asked_.size() == 1 ? 404 : 200, .content_type = "application/json", .body = "{}"};
    });
    running_.emplace(server_);
  }
  int port() const { return running_->port(); }
  std::vector<nlohmann::json> asked() {
    const std::scoped_lock lock(mutex_);
    return asked_;
  }

 private:
  std::mutex mutex_;
  std::vector<nlohmann::json> asked_;
  http::Server server_;
  std::optional<test::RunningServer> running_;
};

// Waits, without turning the clock, until the runner was asked so many times.
void await_asked(Runner& runner, std::size_t count) {
  while (runner.asked().size() < count) std::this_thread::yield();
}

}  // namespace

TEST_CASE("a signal is passed on to a program until it has begun, and its end waited for 7 s") {
  test::FakeClock clock;
  Runner server;
  client::HeldRunner runner(server.port(), Secret("t"));
  const Signals signals;
  const StopOnSignal stop(runner, "program", signals.fd(), "", clock);
  CHECK(server.asked().empty());
  signals.send(SIGINT);
  const os::SteadyTime begin = clock.now();
  // The first time it had not begun.
  await_asked(server, 1);
  clock.await_waiters();
  clock.advance(200ms);
  await_asked(server, 2);
  while (!stop.gave_up().stop_requested()) {
    std::this_thread::yield();
    clock.advance(10ms);
  }
  CHECK(clock.now() - begin >= 7s);
  const auto asked = server.asked();
  REQUIRE(asked.size() == 2);
  CHECK(asked[1] == nlohmann::json{{"signal", "SIGINT"}, {"grace", 5}});
}

TEST_CASE("a program may get another signal than the one that came") {
  test::FakeClock clock;
  Runner server;
  client::HeldRunner runner(server.port(), Secret("t"));
  const Signals signals;
  const StopOnSignal stop(runner, "program", signals.fd(), "SIGTERM", clock);
  signals.send(SIGINT);
  await_asked(server, 1);
  CHECK(server.asked()[0] == nlohmann::json{{"signal", "SIGTERM"}, {"grace", 5}});
}

TEST_CASE("without a signal nothing is stopped") {
  test::FakeClock clock;
  Runner server;
  client::HeldRunner runner(server.port(), Secret("t"));
  const Signals signals;
  std::stop_token gave_up;
  {
    const StopOnSignal stop(runner, "program", signals.fd(), "", clock);
    gave_up = stop.gave_up();
    clock.advance(1h);
  }
  CHECK_FALSE(gave_up.stop_requested());
  CHECK(server.asked().empty());
}

TEST_CASE("a signal ends a wait, and is left for what follows") {
  const Signals signals;
  const StopTokenOfSignals stop(signals.fd());
  CHECK_FALSE(stop.get().stop_requested());
  signals.send(SIGTERM);
  while (!stop.get().stop_requested()) std::this_thread::yield();
  signalfd_siginfo info{};
  CHECK(::read(signals.fd().get(), &info, sizeof info) == sizeof info);
}

}  // namespace dstack::shim::ci
