#include "common/http/connections.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "common/error.h"
#include "tests/support/fake_clock.h"

using namespace std::chrono_literals;
using dstack::http::Connection;
using dstack::http::Connections;
using dstack::os::UniqueFd;

namespace {

// The other end of a connection that was added.
struct Peer {
  explicit Peer(Connections& connections) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
      throw dstack::os_error("make sockets", "");
    socket.reset(ends[0]);
    auto connection = std::make_unique<Connection>(UniqueFd(ends[1]), 1s);
    taken = connections.add(connection);
    is_still_the_callers = connection != nullptr;
  }
  void speak() const { REQUIRE(::send(socket.get(), "x", 1, MSG_NOSIGNAL) == 1); }
  bool reads_the_end() const {
    char byte = 0;
    return ::recv(socket.get(), &byte, 1, 0) == 0;
  }

  UniqueFd socket;
  bool taken = false;
  bool is_still_the_callers = false;
};

bool read_byte(Connection& connection) {
  char byte = 0;
  return connection.stream.read(&byte, 1) == 1;
}

std::ptrdiff_t threads() { return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {}); }

}  // namespace

TEST_CASE("all connections that speak are served at once, however many are open") {
  constexpr int count = 50;
  std::latch all_served(count);
  Connections connections(100, 1h, [&](Connection& connection) {
    read_byte(connection);
    all_served.arrive_and_wait();
    return false;
  });
  std::vector<Peer> peers;
  for (int i = 0; i < count; ++i) peers.emplace_back(connections);
  for (const Peer& peer : peers) peer.speak();
  for (const Peer& peer : peers) CHECK(peer.reads_the_end());
}

TEST_CASE("what arrives while a connection is served is served next") {
  std::latch begun(1);
  std::latch spoken(1);
  std::atomic<int> served = 0;
  Connections connections(10, 1h, [&](Connection& connection) {
    const bool stays = read_byte(connection);
    if (++served == 1) {
      begun.count_down();
      spoken.wait();
    }
    return stays;
  });
  const Peer peer(connections);
  peer.speak();
  begun.wait();
  peer.speak();
  spoken.count_down();
  while (served < 2) std::this_thread::yield();
  peer.speak();
  while (served < 3) std::this_thread::yield();
}

TEST_CASE("more than one read takes is served at once") {
  constexpr std::size_t size = 100'000;
  std::atomic<std::size_t> read = 0;
  Connections connections(10, 1h, [&](Connection& connection) {
    std::array<char, 16384> bytes;
    const ssize_t count = connection.stream.read(bytes.data(), bytes.size());
    read += static_cast<std::size_t>(std::max<ssize_t>(count, 0));
    return count > 0;
  });
  const Peer peer(connections);
  REQUIRE(::send(peer.socket.get(), std::string(size, 'x').data(), size, MSG_NOSIGNAL) == size);
  while (read < size) std::this_thread::yield();
}

TEST_CASE("a connection that is served for long holds up none that speaks at the same time") {
  std::latch release(1);
  std::atomic<int> served = 0;
  std::vector<Peer> peers;
  Connections connections(100, 1h, [&](Connection& connection) {
    const bool stays = read_byte(connection);
    if (++served == 1) release.wait();
    return stays;
  });
  constexpr int count = 40;
  for (int i = 0; i < count; ++i) peers.emplace_back(connections);
  for (int round = 1; round <= 5; ++round) {
    for (const Peer& peer : peers) peer.speak();
    while (served < count * round - (round - 1)) std::this_thread::yield();
  }
  release.count_down();
}

TEST_CASE("idle connections hold no threads") {
  std::atomic<int> served = 0;
  const std::ptrdiff_t before = threads();
  Connections connections(1000, 1h, [&](Connection& connection) {
    const bool stays = read_byte(connection);
    ++served;
    return stays;
  });
  std::vector<Peer> peers;
  for (int i = 0; i < 200; ++i) peers.emplace_back(connections);
  int spoken = 0;
  for (const Peer& peer : peers) {
    peer.speak();
    ++spoken;
    while (served != spoken) std::this_thread::yield();
  }
  CHECK(threads() < before + 20);
}

TEST_CASE("a thread that is not needed ends although requests keep coming") {
  constexpr int count = 5;
  std::latch all_served(count);
  std::atomic<bool> at_once = true;
  std::atomic<int> served = 0;
  dstack::test::FakeClock clock;
  std::thread([] {}).join();  // ThreadSanitizer starts a thread of its own with the first one
  const std::ptrdiff_t before = threads();
  Connections connections(
      100, 1h,
      [&](Connection& connection) {
        const bool stays = read_byte(connection);
        if (at_once) all_served.arrive_and_wait();
        ++served;
        return stays;
      },
      clock);
  std::vector<Peer> peers;
  for (int i = 0; i < count; ++i) peers.emplace_back(connections);
  for (const Peer& peer : peers) peer.speak();
  while (served < count) std::this_thread::yield();
  at_once = false;
  CHECK(threads() > before + 2);
  // Each right after the one before, so that the thread that serves them is never idle.
  for (int requests = 0; threads() > before + 2; ++requests) {
    REQUIRE(requests < 100'000);
    const int spoken = served;
    peers.front().speak();
    while (served == spoken) std::this_thread::yield();
    clock.advance(1s);
  }
}

TEST_CASE("a connection beyond the limit is not taken, and stays its caller's") {
  Connections connections(2, 1h, [](Connection&) { return false; });
  const Peer first(connections);
  const Peer second(connections);
  const Peer third(connections);
  CHECK_FALSE(third.taken);
  CHECK(third.is_still_the_callers);
}

TEST_CASE("a connection that has been silent for too long is ended, and one that has not is looked at later") {
  Connections patient(10, 1h, [](Connection& connection) { return read_byte(connection); });
  const Peer stays(patient);
  const int later = patient.end_silent();
  CHECK(later > 0);
  CHECK(later <= 3600 * 1000);

  Connections impatient(10, 0s, [](Connection& connection) { return read_byte(connection); });
  CHECK(impatient.end_silent() == -1);
  const Peer goes(impatient);
  impatient.end_silent();
  CHECK(goes.reads_the_end());
}

TEST_CASE("the end of all waits for what is being served, ends the rest, and takes no more") {
  std::latch begun(1);
  std::latch release(1);
  Connections connections(10, 1h, [&](Connection& connection) {
    if (!read_byte(connection)) return false;
    begun.count_down();
    release.wait();
    return true;
  });
  const Peer busy(connections);
  const Peer idle(connections);
  busy.speak();
  begun.wait();
  std::thread ending([&] { connections.finish(); });
  CHECK(idle.reads_the_end());
  release.count_down();
  ending.join();
  CHECK(busy.reads_the_end());
  CHECK_FALSE(Peer(connections).taken);
}
