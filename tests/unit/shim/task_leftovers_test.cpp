#include <sys/syscall.h>

#include <cerrno>

#include "tests/support/failing_calls.h"
#include "tests/unit/shim/task_fixture.h"

namespace dstack::shim {

namespace {

namespace fs = std::filesystem;

struct LeftoversFixture : TaskFixture {
  void leave_folder(const std::string& name) const {
    fs::create_directories(home / "runners" / name / "deep/folder");
    std::ofstream(home / "runners" / name / "job.log") << "output";
  }
  std::size_t folders_of_tasks() const { return os::list_folder(home / "tasks").size(); }
  static void with_failing_disk(const std::function<void()>& act) {
    test::with_failing_calls({SYS_fsync, SYS_unlinkat}, EIO, act);
  }
  bool has_folder(const std::string& name) const { return fs::exists(home / "runners" / name); }

  // Until the sweep that this begins has removed it.
  void an_hour_later_is_gone(const std::string& name) {
    await([&] {
      clock.end_next_wait(1h);
      return !has_folder(name);
    });
  }
};

}  // namespace

TEST_CASE_METHOD(LeftoversFixture, "a folder without a task is removed at the start, and one with a task stays") {
  run();
  leave_folder("gone-00000000");
  leave_folder(".left-half-00000000");
  std::ofstream(folder / "outside") << "safe";
  fs::create_symlink(folder / "outside", home / "runners/gone-00000000/link");
  restart();
  await([&] { return !has_folder("gone-00000000") && !has_folder(".left-half-00000000"); });
  CHECK(has_folder(container()));
  CHECK(fs::exists(folder / "outside"));
}

TEST_CASE_METHOD(LeftoversFixture, "a folder without a task is removed every hour") {
  run();
  leave_folder("gone-00000000");
  an_hour_later_is_gone("gone-00000000");
  leave_folder("again-00000000");
  an_hour_later_is_gone("again-00000000");
  CHECK(has_folder(container()));
  CHECK(tasks().info("1").status == TaskStatus::running);
}

TEST_CASE_METHOD(LeftoversFixture,
                 "what a task that the disk refused has left is removed, and it can be submitted again") {
  run();
  const auto refuse = [&] {
    CHECK_THROWS_AS(with_failing_disk([&] { tasks().submit(config("2"), Secret()); }), Error);
  };
  refuse();
  CHECK(folders_of_tasks() == 2);
  await([&] {
    clock.end_next_wait(1h);
    return folders_of_tasks() == 1;
  });
  // A sweep of then may still be under way, and remove what this one leaves.
  refuse();
  tasks().submit(config("2"), Secret());
  await([&] { return tasks().info("2").status == TaskStatus::running; });
  CHECK(folders_of_tasks() == 2);
}

TEST_CASE_METHOD(LeftoversFixture, "a removed task's logs are kept if that is asked for") {
  clock.set_wall(std::chrono::system_clock::now());  // as the files' times are
  task::KeptLogs kept(home / "logs", {.bytes = 1 << 20, .age = 1000h}, clock);
  docker::EngineClient client(docker::engine_at_socket(engine.socket_path()), clock);
  docker::ImagePuller puller(client, clock);
  host::KeyRing keys([this](const std::string& name) { return user(name); });
  task::TaskManager manager(home, {client, puller, keys, volumes, gpus, &kept}, {.runner_binary = runner}, clock);
  manager.restore();
  manager.submit(config(), Secret());
  await([&] { return manager.info("1").status == TaskStatus::running; });
  std::ofstream(home / "runners" / container() / "job.log") << "output";
  manager.terminate("1", {.reason = "terminated_by_user", .message = ""}, 0s);
  manager.remove("1");
  CHECK(os::read_file(home / "logs" / container() / "job.log") == "output");
  CHECK_FALSE(has_folder(container()));
}

TEST_CASE_METHOD(TaskFixture, "of containers without a task those of this home that have ended are removed") {
  const task::TaskStore store(home);
  docker::EngineClient client(docker::engine_at_socket(engine.socket_path()), clock);
  const auto make = [&](const std::string& name, const fs::path& of) {
    docker::ContainerSpec spec;
    spec.task_id = name;
    spec.image = "app:1";
    spec.runner_folder = (of / "runners" / name).string();
    client.start(client.create(name, docker::create_body(spec)));
  };
  for (const char* name : {"known", "ended", "runs"}) make(name, home);
  make("foreign", folder / "other");
  for (const char* name : {"known", "ended", "foreign"}) engine.end_container(name, 0);
  task::Leftovers leftovers(store, client,
                            {.task = [](const std::string& id) { return id == "known"; },
                             .unless_container = [](const std::string&, const std::function<void()>&) {},
                             .volume = [](const std::string&) { return false; }});
  leftovers.sweep({});
  CHECK_FALSE(client.inspect("ended"));
  for (const char* name : {"known", "runs", "foreign"}) CHECK(client.inspect(name));
}

}  // namespace dstack::shim
