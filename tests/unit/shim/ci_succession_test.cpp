#include "shim/ci/succession.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fake_clock.h"

namespace dstack::shim::ci {

using namespace std::chrono_literals;

namespace {

// A CI that allows each name once, and keeps busy runners.
class Names final : public Ci {
 public:
  std::map<std::string, std::string> listed;  // id → name
  std::vector<std::string> busy;
  int adds = 0;

  void check(const Patience&) override {}
  std::vector<ListedRunner> runners(const Patience&) override { return {}; }
  bool has_labels(const ListedRunner&, const std::vector<std::string>&, const Patience&) override { return false; }
  bool is_busy(const std::string&, const Patience&) override { return false; }
  bool is_listed(const std::string&, const Patience&) override { return true; }
  Removal withdraw(const std::string&, const Patience&) override { return Removal::removed; }
  RerunAnswer rerun(const CiJob&, const Patience&) override { return {}; }

  Registration add(const std::string& name, const std::vector<std::string>&, const Patience&) override {
    ++adds;
    for (const auto& [id, other] : listed) {
      if (other == name) throw NameTaken(409, "taken");
    }
    const std::string id = std::to_string(100 + adds);
    listed[id] = name;
    return {.id = id, .name = name, .token = Secret("t")};
  }
  Removal remove(const std::string& runner, const Secret&, const Patience&) override {
    if (runner == "broken") throw CiFailure(500, "broken");
    if (std::ranges::contains(busy, runner)) return Removal::busy;
    listed.erase(runner);
    return Removal::removed;
  }
};

struct Registering {
  Names ci;
  test::FakeClock clock;
  Succession succession{ci, "r", {"cml"}, clock};
  std::vector<std::string> announced;

  // Turns the clock while it waits.
  std::string next(std::vector<std::string>& earlier) {
    std::string name;
    std::atomic<bool> over = false;
    std::jthread registering([&] {
      name = succession.next(earlier, [this](const std::string& tried) { announced.push_back(tried); }, {}).name;
      over = true;
    });
    while (!over) {
      if (!clock.end_next_wait(60s)) std::this_thread::yield();
    }
    return name;
  }
};

}  // namespace

TEST_CASE("the next runner has the same name, for which the one before is deleted") {
  Registering registering;
  registering.ci.listed = {{"1", "r"}};
  std::vector<std::string> earlier{"1"};
  CHECK(registering.next(earlier) == "r");
  CHECK(earlier.empty());
  CHECK(registering.ci.adds == 2);
  CHECK(registering.announced == std::vector<std::string>{"r", "r"});
}

TEST_CASE("where the CI has forgotten the one before, so does the launcher") {
  Registering registering;
  std::vector<std::string> earlier{"1"};
  CHECK(registering.next(earlier) == "r");
  CHECK(registering.ci.adds == 1);
  CHECK(earlier.empty());
}

TEST_CASE("a runner that stays busy for 30 s gives the next one a number, and is kept in mind") {
  Registering registering;
  registering.ci.listed = {{"1", "r"}, {"2", "r-2"}};
  registering.ci.busy = {"1"};
  std::vector<std::string> earlier{"1"};
  const os::SteadyTime begin = registering.clock.now();
  CHECK(registering.next(earlier) == "r-3");
  CHECK(registering.clock.now() - begin == 30s);
  CHECK(earlier == std::vector<std::string>{"1"});
  CHECK(registering.announced.back() == "r-3");

  SECTION("the next time the name is tried, but not waited for") {
    const os::SteadyTime again = registering.clock.now();
    CHECK(registering.next(earlier) == "r-4");
    CHECK(registering.clock.now() == again);
  }
  SECTION("a name that is free again is used") {
    registering.ci.busy.clear();
    CHECK(registering.next(earlier) == "r");
    CHECK(earlier.empty());
  }
}

TEST_CASE("one runner that cannot be deleted does not keep the others") {
  Names ci;
  ci.listed = {{"1", "a"}, {"2", "b"}, {"3", "c"}};
  ci.busy = {"2"};
  std::vector<std::string> runners{"broken", "1", "2", "3"};
  CHECK_THROWS_AS(remove_all(ci, runners, {}), CiFailure);
  CHECK(runners == std::vector<std::string>{"broken", "2"});
  std::vector<std::string> rest{"2"};
  CHECK(remove_all(ci, rest, {}) == Removal::busy);
  ci.busy.clear();
  CHECK(remove_all(ci, rest, {}) == Removal::removed);
  CHECK(rest.empty());
}

}  // namespace dstack::shim::ci
