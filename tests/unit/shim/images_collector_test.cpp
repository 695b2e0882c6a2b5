#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <semaphore>

#include "common/error.h"
#include "common/text/quantity.h"
#include "shim/docker/image_pull.h"
#include "shim/images/collector.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_engine.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim;
using namespace std::chrono_literals;
using images::parse_disk_share;
using test::FakeEngine;

TEST_CASE("sizes and durations have a unit") {
  CHECK(text::parse_size("10G") == 10ULL << 30);
  CHECK(text::parse_size("0K") == 0);
  CHECK(text::parse_duration("90s") == 90s);
  CHECK(text::parse_duration("2w") == 14 * 24h);
  for (const char* wrong : {"", "G", "10", "-1G", "1.5G", "10GB", " 1G", "99999999999T"})
    CHECK_FALSE(text::parse_size(wrong));
  for (const char* wrong : {"", "1", "h", "1y", "-1h"}) CHECK_FALSE(text::parse_duration(wrong));
}

TEST_CASE("of a part of a disk and a size the lesser counts") {
  constexpr std::uint64_t kGiB = 1ULL << 30;
  CHECK(parse_disk_share("15%,20G").of(1000 * kGiB) == 20 * kGiB);
  CHECK(parse_disk_share("15%,20G").of(100 * kGiB) == 15 * kGiB);
  CHECK(parse_disk_share("5G").of(kGiB) == kGiB);
  CHECK(parse_disk_share("0").is_nothing());
  CHECK_FALSE(parse_disk_share("1%").is_nothing());
  for (const char* wrong : {"", "15", "101%", "-1%", "15%;20G", "15%,", "lots"})
    CHECK_THROWS_AS(parse_disk_share(wrong), Error);
}

namespace {

// An engine that has the images whose names it was given, and a disk that is as full as the test says.
struct CollectorFixture {
  FakeEngine engine;
  test::FakeClock clock;
  test::TemporaryDirectory folder;
  docker::EngineClient client{docker::engine_at_socket(engine.socket_path()), clock};
  images::DiskSpace space{.free = 1000, .total = 10000};
  int removed = 0;
  std::map<std::string, std::string> present;  // name → id
  std::vector<std::string> used;               // ids that containers have
  std::vector<std::string> deleted;
  std::uint64_t freed_by_removal = 500;

  CollectorFixture() {
    engine.on("GET /images/json", [this](const FakeEngine::Request&, FakeEngine::Reply& reply) {
      std::string list;
      for (const auto& [name, id] : present) list += std::string(list.empty() ? "" : ",") + R"({"Id":")" + id + R"("})";
      reply.answer(200, "[" + list + "]");
    });
    engine.on("GET /containers/json", [this](const FakeEngine::Request&, FakeEngine::Reply& reply) {
      std::string list;
      for (const std::string& id : used)
        list += std::string(list.empty() ? "" : ",") + R"({"ImageID":")" + id + R"("})";
      reply.answer(200, "[" + list + "]");
    });
    engine.on("GET /events", [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.answer(200, ""); });
    for (const char* name : {"a:1", "b:1", "c:1", "d:1"}) add_routes(name);
  }

  void add_routes(const std::string& name) {
    engine.on("GET /images/" + name + "/json", [this, name](const FakeEngine::Request&, FakeEngine::Reply& reply) {
      const auto found = present.find(name);
      if (found == present.end()) return reply.error(404, "No such image");
      reply.answer(200, R"({"Id":")" + found->second + R"(","Size":100,"RepoDigests":["x@sha256:1"]})");
    });
    engine.on("DELETE /images/" + name, [this, name](const FakeEngine::Request&, FakeEngine::Reply& reply) {
      deleted.push_back(name);
      present.erase(name);
      space.free += freed_by_removal;
      reply.answer(200, "[]");
    });
  }

  images::Collector collector() {
    return {client,
            {.file = folder / "images.json",
             .start = {.percent = 20, .bytes = UINT64_MAX},
             .stop = {.percent = 25, .bytes = UINT64_MAX},
             .min_age = 1h},
            [this] { return space; },
            [this] { ++removed; },
            clock};
  }

  // As an engine that keeps images in containerd's store.
  void use_containerd() {
    engine.on("GET /info", [](const FakeEngine::Request&, FakeEngine::Reply& reply) {
      reply.answer(200, R"({"DockerRootDir":"/r","Driver":"overlayfs",)"
                        R"("DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]]})");
    });
  }

  bool has(const std::string& id) const {
    return std::ranges::any_of(present, [&id](const auto& image) { return image.second == id; });
  }

  // Docker's own store names layers of images only that it does not have; containerd's does of any.
  void pull(images::Collector& collector, const std::string& name, const std::string& id,
            std::optional<bool> had_layers = {}) {
    const docker::ImageReference image = docker::parse_image_reference(name);
    collector.begins(image, false);
    const bool was_there = has(id);
    present[name] = id;
    collector.arrived(image, {.had_layers = had_layers.value_or(!was_there)});
    // The next look, with room enough.
    const auto free = std::exchange(space.free, space.total);
    collector.collect();
    space.free = free;
    clock.advance(1min);
  }

  std::vector<std::string> listed() const {
    std::vector<std::string> names;
    for (const images::Image& image : images::read_image_list(folder / "images.json").images)
      names.push_back(image.reference);
    return names;
  }

  std::ptrdiff_t requests_of(const std::string& line) {
    return std::ranges::count_if(engine.requests(), [&line](const auto& one) { return one.line() == line; });
  }
};

}  // namespace

TEST_CASE_METHOD(CollectorFixture, "the least recently used images are removed until enough is free") {
  auto images = collector();
  for (const char* name : {"a:1", "b:1", "c:1", "d:1"}) pull(images, name, std::string("sha256:") + name);
  clock.advance(2h);
  images.used(docker::parse_image_reference("a:1"));
  clock.advance(61min);
  CHECK(images.collect() == 3);
  CHECK(deleted == std::vector<std::string>{"b:1", "c:1", "d:1"});
  CHECK(removed == 3);
  const images::ImageList list = images::read_image_list(folder / "images.json");
  REQUIRE(list.images.size() == 1);
  CHECK(list.images.front().reference == "a:1");
  CHECK(list.removed.size() == 3);
  // Enough is free now.
  CHECK(images.collect() == 0);
}

TEST_CASE_METHOD(CollectorFixture, "images that were used while the clock was ahead are removed in the end") {
  auto images = collector();
  const os::WallTime right = clock.wall();
  clock.set_wall(right + std::chrono::years(4));
  pull(images, "a:1", "sha256:a");
  clock.set_wall(right);
  CHECK(images.collect() == 0);  // as if it were used just now
  clock.advance(50min);
  images.used(docker::parse_image_reference("a:1"));
  clock.advance(50min);
  CHECK(images.collect() == 0);
  clock.advance(11min);
  CHECK(images.collect() == 1);
}

TEST_CASE_METHOD(CollectorFixture,
                 "what was there before the first pull is never removed, nor what is in use or young") {
  auto images = collector();
  present["a:1"] = "sha256:old";
  pull(images, "a:1", "sha256:new");
  present["other"] = "sha256:same";
  pull(images, "b:1", "sha256:same");
  pull(images, "c:1", "sha256:used");
  pull(images, "d:1", "sha256:d");
  used = {"sha256:used"};
  CHECK(images.collect() == 0);  // d is too young
  clock.advance(2h);
  CHECK(images.collect() == 1);
  CHECK(deleted == std::vector<std::string>{"d:1"});
}

TEST_CASE_METHOD(CollectorFixture,
                 "what containerd's store has before a pull is listed, since its pulls name all layers") {
  use_containerd();
  auto images = collector();
  present["other"] = "sha256:same";
  pull(images, "a:1", "sha256:same", true);
  pull(images, "b:1", "sha256:b", true);
  clock.advance(2h);
  CHECK(images.collect() == 1);
  CHECK(deleted == std::vector<std::string>{"b:1"});
  CHECK(requests_of("GET /images/json") == 2);
}

TEST_CASE_METHOD(CollectorFixture, "before a pull Docker is not asked for what the pull itself says") {
  auto images = collector();
  images.begins(docker::parse_image_reference("a:1"), true);
  CHECK(requests_of("GET /images/json") == 0);
  CHECK(requests_of("GET /images/a:1/json") == 0);
}

TEST_CASE_METHOD(CollectorFixture, "an image is written down a second after it has arrived, or as the shim ends") {
  auto images = collector();
  images.start([] { return std::vector<std::string>(); });
  const auto arrive = [&](const std::string& name) {
    const docker::ImageReference image = docker::parse_image_reference(name);
    images.begins(image, true);
    present[name] = "sha256:" + name;
    images.arrived(image, {.had_layers = true});
  };
  clock.await_pause_within(1s);
  clock.advance(1s);
  engine.await("GET /containers/json");  // the first look; the next one is a minute later
  arrive("a:1");
  clock.await_pause_within(1s);
  CHECK(requests_of("GET /images/a:1/json") == 0);
  clock.advance(1s);
  engine.await("GET /images/a:1/json");
  arrive("b:1");
  images.stop();
  CHECK(listed() == std::vector<std::string>{"a:1", "b:1"});
}

TEST_CASE_METHOD(CollectorFixture, "a pull's size makes it look at the disk, but not where there is room twice over") {
  space.free = 8000;  // of 10000, of which 2000 are to be free
  std::counting_semaphore<> looks(0);
  images::Collector images(
      client, {.file = folder / "images.json", .start = {.percent = 20, .bytes = UINT64_MAX}},
      [&] {
        looks.release();
        return space;
      },
      [] {}, clock);
  images.start([] { return std::vector<std::string>(); });
  clock.await_pause_within(1s);
  images.size_known(1);  // it has not looked yet
  looks.acquire();
  clock.await_pause_within(1min);
  // What is unpacked beside it counts too. The second one would leave less than half of what the first one has left.
  images.size_known(900);
  images.size_known(600);
  looks.acquire();
  images.stop();
  CHECK_FALSE(looks.try_acquire());
}

TEST_CASE_METHOD(CollectorFixture, "an image that the engine cannot be asked about is written down later") {
  auto images = collector();
  engine.on("GET /images/a:1/json",
            [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.break_connection(); });
  engine.on("GET /images/b:1/json",
            [](const FakeEngine::Request&, FakeEngine::Reply& reply) { reply.error(500, "?"); });
  const auto arrive = [&](const std::string& name) {
    images.begins(docker::parse_image_reference(name), true);
    images.arrived(docker::parse_image_reference(name), {.had_layers = true});
  };
  arrive("b:1");
  arrive("a:1");
  arrive("c:1");
  present = {{"a:1", "sha256:a"}, {"c:1", "sha256:c"}};
  images.collect();
  CHECK(listed().empty());
  add_routes("a:1");
  clock.advance(2h);
  images.collect();
  clock.advance(2h);
  CHECK(images.collect() == 2);
  CHECK(deleted == std::vector<std::string>{"a:1", "c:1"});
}

TEST_CASE_METHOD(CollectorFixture,
                 "a restart knows the images of before, and a name that was given away is forgotten") {
  {
    auto images = collector();
    pull(images, "a:1", "sha256:a");
    pull(images, "b:1", "sha256:b");
  }
  clock.advance(2h);
  present["a:1"] = "sha256:of-another-program";
  auto images = collector();
  CHECK(images.collect() == 1);
  CHECK(deleted == std::vector<std::string>{"b:1"});
  CHECK(images::read_image_list(folder / "images.json").images.empty());
}

TEST_CASE_METHOD(CollectorFixture, "a list that cannot be read removes nothing") {
  std::ofstream(folder / "images.json") << "{";
  auto images = collector();
  CHECK(images.collect() == 0);
  pull(images, "a:1", "sha256:a");
  clock.advance(2h);
  CHECK(images.collect() == 1);
}

TEST_CASE_METHOD(CollectorFixture, "a pull that fails for space is tried once more after room was made") {
  auto images = collector();
  pull(images, "a:1", "sha256:a");
  clock.advance(2h);
  space.free = 9000;  // more than enough, but not for this pull
  int pulls = 0;
  engine.on("POST /images/create", [&](const FakeEngine::Request&, FakeEngine::Reply& reply) {
    ++pulls;
    if (present.contains("a:1"))
      return reply.answer(200, R"({"error":"write /var/lib/docker/tmp/x: no space left on device"})"
                               "\n");
    present["b:1"] = "sha256:b";
    reply.answer(200, R"({"status":"Status: Downloaded newer image"})"
                      "\n");
  });
  docker::ImagePuller puller({.engine = client, .clock = clock, .limits = {.attempts = 1}, .observer = &images});
  CHECK(puller.ensure({.image = docker::parse_image_reference("b:1")}, {}));
  CHECK(pulls == 2);
  CHECK(deleted == std::vector<std::string>{"a:1"});
  // With nothing left to remove it fails at once.
  present["a:1"] = "sha256:foreign";
  CHECK_THROWS_AS(puller.ensure({.image = docker::parse_image_reference("c:1")}, {}), Error);
  CHECK(pulls == 3);
}
