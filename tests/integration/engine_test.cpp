// The Docker side of the shim against the engine that DOCKER_HOST names. test_engine.py sets the images up:
//   ENGINE_IMAGE         an image of several layers with a shell, in a registry and not in the engine
//   ENGINE_LAYER_BYTES   the sizes, as the registry keeps them, of those of its layers that the engine has not
//   ENGINE_PRIVATE_IMAGE one in a registry that wants the password ENGINE_PASSWORD of the user ENGINE_USER
//   ENGINE_PREFIX        for the names of containers

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/os/file.h"
#include "shim/docker/container_spec.h"
#include "shim/docker/container_watcher.h"
#include "shim/docker/engine_client.h"
#include "shim/docker/image_pull.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::docker;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) SKIP("test_engine.py sets " << name);
  return value;
}

// Removes its container at the end.
class Made {
 public:
  Made(EngineClient& engine, const std::string& name, const ContainerSpec& spec)
      : engine_(engine), id_(engine.create(name, create_body(spec))) {}
  Made(const Made&) = delete;
  Made& operator=(const Made&) = delete;
  ~Made() {
    try {
      engine_.remove(id_);
    } catch (const Error&) {
    }
  }
  const std::string& id() const { return id_; }

 private:
  EngineClient& engine_;
  std::string id_;
};

struct Fixture {
  EngineClient engine{engine_address()};
  ImagePuller puller{engine};
  test::TemporaryDirectory folder;
  ImageReference image = parse_image_reference(variable("ENGINE_IMAGE"));

  ContainerSpec spec(const std::string& script) {
    const std::filesystem::path runner = folder / "runner";
    std::ofstream(runner) << "the runner";
    std::filesystem::create_directories(folder / "home");
    return {.task_id = "engine-test",
            .image = image.name(),
            .user = "root",
            .network = NetworkMode::bridge,
            .runner_folder = folder / "home",
            .runner_binary = runner,
            .command = {"/bin/sh", "-c", script}};
  }
  std::string name(const std::string& suffix) { return variable("ENGINE_PREFIX") + suffix; }
  void have_image() { puller.ensure({.image = image, .credentials = {}, .log_file = {}, .on_progress = nullptr}, {}); }

  std::vector<std::string> run(const ContainerSpec& wanted, ContainerEnd* end = nullptr) {
    have_image();
    const Made made(engine, name("run"), wanted);
    const ContainerEnd seen = end_of(made.id(), [&] { engine.start(made.id()); });
    if (end != nullptr) *end = seen;
    return engine.last_lines(made.id(), 5);
  }

  // What the watcher tells of a container after `action`.
  ContainerEnd end_of(const std::string& id, const std::function<void()>& action) {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<ContainerEnd> seen;
    ContainerWatcher watcher(engine, {.ended =
                                          [&](const ContainerEnd& end) {
                                            const std::scoped_lock lock(mutex);
                                            seen = end;
                                            changed.notify_all();
                                          },
                                      .listed = {}});
    watcher.start();
    watcher.watch(id);
    action();
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return seen.has_value(); });
    return *seen;
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "the engine tells its version and settings") {
  const EngineInfo info = engine.info();
  WARN("engine " << info.version << ", API " << info.api_version << ", cgroup v" << info.cgroup_version
                 << (info.podman ? ", Podman" : "") << ", root " << info.root_directory);
  CHECK_FALSE(info.root_directory.empty());
  CHECK((info.cgroup_version == 1 || info.cgroup_version == 2));
}

// First of all that need the image: it must not be there yet.
TEST_CASE_METHOD(Fixture, "a pull of several layers counts every byte") {
  CHECK_FALSE(engine.image_present(image));
  std::vector<PullProgress> seen;
  const bool pulled =
      puller.ensure({.image = image,
                     .credentials = {},
                     .log_file = folder / "pull.log",
                     .on_progress = [&seen](const PullProgress& progress) { seen.push_back(progress); }},
                    {});
  CHECK(pulled);
  CHECK(engine.image_present(image));
  CHECK_FALSE(os::read_file(folder / "pull.log").empty());
  if (!engine.is_podman()) {
    REQUIRE_FALSE(seen.empty());
    const auto total = std::stoull(variable("ENGINE_LAYER_BYTES"));
    CHECK(seen.back().downloaded_bytes == total);
    CHECK(seen.back().extracted_bytes == total);
    CHECK(seen.back().total_bytes == total);
    CHECK(seen.back().is_total_bytes_final);
    CHECK(std::ranges::is_sorted(seen, {}, &PullProgress::total_bytes));
    CHECK(std::ranges::is_sorted(seen, {}, &PullProgress::extracted_bytes));
    CHECK_FALSE(std::ranges::all_of(seen, &PullProgress::is_total_bytes_final));
  }
  CHECK_FALSE(puller.ensure({.image = image, .credentials = {}, .log_file = {}, .on_progress = nullptr}, {}));
}

TEST_CASE_METHOD(Fixture, "an unknown tag is refused at once, in the engine's words") {
  ImageReference unknown = image;
  unknown.tag = "no-such-tag";
  try {
    puller.ensure({.image = unknown, .credentials = {}, .log_file = {}, .on_progress = nullptr}, {});
    FAIL("no error");
  } catch (const Error& error) {
    WARN(error.what());
    CHECK(error.kind() == ErrorKind::not_found);
  }
}

TEST_CASE_METHOD(Fixture, "a registry that wants a password") {
  const ImageReference closed = parse_image_reference(variable("ENGINE_PRIVATE_IMAGE"));
  const auto attempt = [&](const std::string& user, const std::string& password) -> std::optional<Error> {
    try {
      puller.ensure({.image = closed,
                     .credentials = {.username = user, .password = Secret(password)},
                     .log_file = {},
                     .on_progress = nullptr},
                    {});
      return std::nullopt;
    } catch (const Error& error) {
      WARN(error.what());
      return error;
    }
  };
  REQUIRE(attempt("", ""));
  CHECK(attempt("", "")->kind() == ErrorKind::invalid);
  REQUIRE(attempt("nobody", "wrong"));
  CHECK(attempt("nobody", "wrong")->kind() == ErrorKind::invalid);
  CHECK_FALSE(attempt(variable("ENGINE_USER"), variable("ENGINE_PASSWORD")));
}

TEST_CASE_METHOD(Fixture, "a container's end, exit code and last lines") {
  ContainerEnd end;
  CHECK(run(spec("for i in 1 2 3 4 5 6; do echo $i; done; echo err >&2; exit 3"), &end).size() == 5);
  CHECK(end.exit_code == 3);
  CHECK_FALSE(end.gone);
}

TEST_CASE_METHOD(Fixture, "a container removed by hand is gone") {
  have_image();
  const Made made(engine, name("gone"), spec("sleep 1000"));
  engine.start(made.id());
  CHECK(end_of(made.id(), [&] { engine.remove(made.id()); }).container_id == made.id());
  CHECK_FALSE(engine.inspect(made.id()));
  engine.remove(made.id());
}

TEST_CASE_METHOD(Fixture, "a start that fails says why") {
  have_image();
  ContainerSpec wrong = spec("");
  wrong.command = {"/no/such/program"};
  const Made made(engine, name("wrong"), wrong);
  CHECK_THROWS_WITH(engine.start(made.id()), ContainsSubstring("/no/such/program"));
}

TEST_CASE_METHOD(Fixture, "a name that is taken is a conflict") {
  have_image();
  const Made made(engine, name("twice"), spec("true"));
  try {
    engine.create(name("twice"), create_body(spec("true")));
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::conflict);
  }
}

TEST_CASE_METHOD(Fixture, "stop and kill end a container, and once more is no error") {
  have_image();
  const Made stopped(engine, name("stopped"), spec("trap 'exit 4' TERM; while true; do sleep 0.1; done"));
  engine.start(stopped.id());
  engine.start(stopped.id());
  // Its trap may not be set yet: then the signal does nothing to process 1, and the grace is used up.
  engine.stop(stopped.id(), 1s);
  engine.stop(stopped.id(), 1s);
  CHECK(has_ended(engine.inspect(stopped.id())->status));
  const Made killed(engine, name("killed"), spec("sleep 1000"));
  engine.start(killed.id());
  engine.stop(killed.id(), 0s);
  engine.kill(killed.id());
  CHECK(engine.inspect(killed.id())->exit_code == 137);
  const Made created(engine, name("created"), spec("true"));
  CHECK(engine.inspect(created.id())->status == ContainerStatus::created);
  engine.kill(created.id());
}

TEST_CASE_METHOD(Fixture, "the runner's ports are found on the loopback interface") {
  have_image();
  ContainerSpec wanted = spec("sleep 1000");
  wanted.published_ports = {10999, 10022};
  const Made made(engine, name("ports"), wanted);
  engine.start(made.id());
  const ContainerDetails details = *engine.inspect(made.id());
  REQUIRE(details.ports.size() == 2);
  CHECK(details.ports[0].container == 10022);
  CHECK(details.ports[1].container == 10999);
  CHECK(details.ports[0].host > 1024);
  CHECK_FALSE(details.host_network);
}

TEST_CASE_METHOD(Fixture, "mounts and environment arrive byte for byte") {
  // Podman 4.3 puts mounts through a list with commas and quotes, and refuses those in a path. Around a line that is
  // written in pieces it sometimes loses the line's end, so each is written at once.
  const bool podman = engine.is_podman();
  ContainerSpec wanted = spec(
      R"(cat '/-x $(y) '\''z'\''/it'; printf '%s\n' "$ODD"; touch /usr/local/bin/dstack-runner || echo read-only)");
  const std::filesystem::path odd = folder / (podman ? "a b $(e)" : "a b,c=\"d\" $(e)");
  std::filesystem::create_directory(odd);
  std::ofstream(odd / "it") << "mounted\n";
  wanted.mounts = {{.source = odd, .target = "/-x $(y) 'z'"}};
  wanted.environment = {"ODD= $(x) \"q\" 'r' -- ä"};
  const auto lines = run(wanted);
  CAPTURE(lines);
  CHECK(std::ranges::count(lines, "mounted") == 1);
  CHECK(std::ranges::count(lines, " $(x) \"q\" 'r' -- ä") == 1);
  CHECK(std::ranges::count(lines, "read-only") == 1);
}

TEST_CASE_METHOD(Fixture, "shared memory has its size and may hold programs") {
  ContainerSpec wanted = spec("mount | grep ' /dev/shm '");
  wanted.shm_size = 2 << 20;
  const auto lines = run(wanted);
  REQUIRE(lines.size() == 1);
  CHECK_THAT(lines[0], ContainsSubstring("size=2048k") && !ContainsSubstring("noexec"));
}

TEST_CASE_METHOD(Fixture, "limits reach the engine") {
  ContainerSpec wanted = spec("sleep 1000");
  wanted.cpu = 0.5;
  wanted.memory = 64 << 20;
  have_image();
  const Made made(engine, name("limits"), wanted);
  engine.start(made.id());
  CHECK(engine.inspect(made.id())->status == ContainerStatus::running);
}

TEST_CASE_METHOD(Fixture, "running out of memory is told") {
  ContainerSpec wanted = spec("sleep 0.2; tail /dev/zero");
  wanted.memory = 16 << 20;
  ContainerEnd end;
  run(wanted, &end);
  CHECK(end.exit_code != 0);
  // Podman 4.3 on cgroup v1 does not notice.
  if (!engine.is_podman()) CHECK(end.out_of_memory);
}

TEST_CASE_METHOD(Fixture, "the list knows labels and mounts") {
  have_image();
  const Made made(engine, name("listed"), spec("true"));
  const auto containers = engine.list(kTaskLabel);
  const auto found = std::ranges::find(containers, made.id(), &ContainerSummary::id);
  REQUIRE(found != containers.end());
  CHECK(found->name == name("listed"));
  CHECK(found->status == ContainerStatus::created);
  CHECK(found->labels.at(kTaskIdLabel) == "engine-test");
  CHECK(std::ranges::any_of(found->mounts, [&](const ContainerMount& mount) {
    return mount.destination == "/tmp/runner" && mount.source == (folder / "home").string();
  }));
}
