#include "shim/task/task_store.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cerrno>
#include <fstream>

#include "common/error.h"
#include "common/os/file.h"
#include "tests/support/failing_calls.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::task;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

TaskState full_state() {
  TaskState state;
  state.config = {
      .id = "id",
      .name = "job",
      .registry_username = "user",
      .image_name = "app:1",
      .container_user = "nobody",
      .privileged = true,
      .gpu = -1,
      .cpu = 1.5,
      .memory = 1 << 20,
      .shm_size = 2 << 20,
      .network_mode = shim::docker::NetworkMode::bridge,
      .volumes = {{.backend = "aws", .name = "v", .volume_id = "vol-1", .init_fs = true, .device_name = "/dev/sdf"}},
      .volume_mounts = {{.name = "v", .path = "/v"}},
      .instance_mounts = {{.instance_path = "/host", .path = "/in"}},
      .gpu_devices = {{.path_on_host = "/dev/a", .path_in_container = "/dev/b"}},
      .host_ssh_user = "me",
      .host_ssh_keys = {"ssh-ed25519 A"},
      .container_ssh_keys = {"ssh-ed25519 B"},
      .local = true,
      .remove_when_ended = true};
  state.submitted_at = 1'763'734'502'123;
  state.container_name = "job-12345678";
  state.status = TaskStatus::running;
  state.container_id = "abc";
  state.ports = {{.host = 1, .container = 2}};
  state.gpu_ids = {"GPU-1"};
  state.holds_keys = true;
  state.holds_volumes = true;
  state.gpus_given_back = true;
  state.create_sent = true;
  state.boot_id = "boot";
  state.ending = Ending{.reason = "done_by_runner", .message = "line\nline"};
  return state;
}

struct Fixture {
  test::TemporaryDirectory home;
  TaskStore store{home.path()};
  const fs::path journal = home / "tasks/job-12345678/task.json";

  static void with_failing_disk(const std::function<void()>& act) {
    test::with_failing_calls({SYS_fsync, SYS_unlinkat}, EIO, act);
  }
  // An add that fails, as does the removal of what it has made.
  void refuse() const {
    CHECK_THROWS_WITH(with_failing_disk([&] { store.add(full_state()); }),
                      ContainsSubstring("flush") && ContainsSubstring("Input/output error"));
  }
};

mode_t mode_of(const fs::path& path) {
  struct stat status{};
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

}  // namespace

TEST_CASE_METHOD(Fixture, "a journal gives back what was written") {
  const TaskState state = full_state();
  store.add(state);
  const std::vector<TaskState> loaded = store.load();
  REQUIRE(loaded.size() == 1);
  CHECK(write_config(loaded[0].config).dump() == write_config(state.config).dump());
  CHECK(loaded[0].status == state.status);
  CHECK(loaded[0].submitted_at == state.submitted_at);
  CHECK(loaded[0].container_id == state.container_id);
  CHECK(loaded[0].ports == state.ports);
  CHECK(loaded[0].gpu_ids == state.gpu_ids);
  CHECK(loaded[0].holds_keys);
  CHECK(loaded[0].holds_volumes);
  CHECK(loaded[0].gpus_given_back);
  CHECK(loaded[0].create_sent);
  CHECK(loaded[0].boot_id == "boot");
  CHECK_FALSE(loaded[0].given_back);
  CHECK(loaded[0].ending == state.ending);
}

TEST_CASE_METHOD(Fixture, "what is not known yet stays unknown") {
  TaskState state;
  state.config.id = "id";
  state.container_name = "job-12345678";
  store.add(state);
  const TaskState loaded = store.load().at(0);
  CHECK_FALSE(loaded.submitted_at);
  CHECK_FALSE(loaded.ports);
  CHECK_FALSE(loaded.gpu_ids);
  CHECK_FALSE(loaded.ending);
}

TEST_CASE_METHOD(Fixture, "journals are for root only") {
  store.add(full_state());
  CHECK(mode_of(home / "tasks") == 0700);
  CHECK(mode_of(journal.parent_path()) == 0700);
  CHECK(mode_of(journal) == 0600);
  store.make_runner_folder("job-12345678");
  CHECK(mode_of(home / "runners/job-12345678") == 0700);
}

TEST_CASE_METHOD(Fixture, "the same task cannot be added twice") {
  store.add(full_state());
  CHECK_THROWS_AS(store.add(full_state()), Error);
  CHECK(store.load().size() == 1);
}

TEST_CASE_METHOD(Fixture, "a task that was refused can be added again, though its folder could not be removed then") {
  refuse();
  REQUIRE(fs::exists(journal));
  store.add(full_state());
  CHECK(store.load().size() == 1);
  CHECK_THROWS_AS(store.add(full_state()), Error);
}

TEST_CASE_METHOD(Fixture, "a refused task's folder that could not be removed is removed later") {
  refuse();
  with_failing_disk([&] { store.remove_half_made(); });
  REQUIRE(fs::exists(journal));
  store.remove_half_made();
  CHECK_FALSE(fs::exists(journal.parent_path()));
  store.add(full_state());
  store.remove_half_made();
  CHECK(store.load().size() == 1);
}

TEST_CASE_METHOD(Fixture, "a folder without a journal is what an interrupted step left, and goes") {
  fs::create_directories(home / "tasks/half/inside");
  std::ofstream(home / "tasks/half/task.json.x1y2z3") << "{";
  CHECK(store.load().empty());
  CHECK_FALSE(fs::exists(home / "tasks/half"));
}

TEST_CASE_METHOD(Fixture, "a journal that cannot be read is set aside for a person, and the others are loaded") {
  store.add(full_state());
  fs::create_directories(home / "tasks/broken");
  std::ofstream(home / "tasks/broken/task.json") << "{\"config\": 5}";
  CHECK(store.load().size() == 1);
  CHECK(fs::exists(home / "tasks/broken.unreadable/task.json"));
  CHECK(store.load().size() == 1);
}

TEST_CASE_METHOD(Fixture, "a journal that did not outlive a power cut leaves the last flushed one") {
  TaskState state = full_state();
  state.status = TaskStatus::creating;
  store.add(state);
  state.status = TaskStatus::running;
  store.save(state, TaskStore::Flush::later);
  store.save(state, TaskStore::Flush::later);
  CHECK(store.load().at(0).status == TaskStatus::running);
  // What some file systems make of a new file that was not flushed.
  std::ofstream(journal, std::ios::trunc).close();
  CHECK(store.load().at(0).status == TaskStatus::creating);

  store.save(state, TaskStore::Flush::now);
  CHECK(store.load().at(0).status == TaskStatus::running);
  CHECK(std::distance(fs::directory_iterator(journal.parent_path()), {}) == 1);
}

TEST_CASE_METHOD(Fixture, "a first journal that was never flushed is none") {
  fs::create_directories(home / "tasks/new");
  std::ofstream(home / "tasks/new/task.json").close();
  CHECK(store.load().empty());
  CHECK_FALSE(fs::exists(home / "tasks/new"));
}

TEST_CASE_METHOD(Fixture, "a journal does not speak for another folder") {
  store.add(full_state());
  fs::create_directories(home / "tasks/other");
  fs::copy_file(journal, home / "tasks/other/task.json");
  CHECK(store.load().size() == 1);
}

TEST_CASE_METHOD(Fixture, "what a job left does not matter to its removal") {
  store.add(full_state());
  store.make_runner_folder("job-12345678");
  const fs::path folder = store.runner_folder("job-12345678");
  const fs::path outside = home / "outside";
  fs::create_directories(outside);
  std::ofstream(outside / "file") << "precious";
  fs::create_directory_symlink(outside, folder / "link");
  fs::create_symlink("/", folder / "task.json");
  fs::create_directories(folder / "a/b/c");
  fs::create_directory_symlink(outside, folder / "a/b/c/up");
  ::mkfifo((folder / "fifo").c_str(), 0600);

  store.remove("job-12345678");
  CHECK_FALSE(fs::exists(folder));
  CHECK_FALSE(fs::exists(journal.parent_path()));
  CHECK(os::read_file(outside / "file") == "precious");
  store.remove("job-12345678");
}

TEST_CASE_METHOD(Fixture, "a runner folder is made anew, empty") {
  store.make_runner_folder("job-12345678");
  std::ofstream(store.runner_folder("job-12345678") / "old") << "x";
  store.make_runner_folder("job-12345678");
  CHECK(fs::is_empty(store.runner_folder("job-12345678")));
}

TEST_CASE_METHOD(Fixture, "only folders right below this home's runners are ours") {
  CHECK(store.owns(home / "runners/x"));
  CHECK_FALSE(store.owns(home / "runners"));
  CHECK_FALSE(store.owns(home / "runners/x/y"));
  CHECK_FALSE(store.owns(home / "runners/../tasks/x"));
  CHECK_FALSE(store.owns("/elsewhere/runners/x"));
  CHECK_FALSE(store.owns(""));
  // The same home under another name.
  const test::TemporaryDirectory other;
  fs::create_directory_symlink(home.path(), other / "link");
  CHECK(store.owns(other / "link/runners/x"));
}

TEST_CASE_METHOD(Fixture, "where paths cannot be followed no folder is ours") {
  const test::TemporaryDirectory other;
  fs::create_symlink("loop", other / "loop");
  const fs::path runners = other / "loop/runners";
  CHECK_FALSE(is_runner_folder(other / "loop/elsewhere/x", runners));
  CHECK(is_runner_folder(runners / "x", runners));
}

TEST_CASE_METHOD(Fixture, "a job's output is read in pieces, and is nothing before it has begun") {
  store.make_runner_folder("job-12345678");
  CHECK_FALSE(store.read_output("job-12345678", 0, 100));
  CHECK_FALSE(store.read_output("no-such-task", 0, 100));
  std::ofstream(store.runner_folder("job-12345678") / "job.log") << "0123456789";
  CHECK(store.read_output("job-12345678", 0, 4) == "0123");
  CHECK(store.read_output("job-12345678", 8, 4) == "89");
  CHECK(store.read_output("job-12345678", 10, 4) == "");
  CHECK(store.read_output("job-12345678", std::uint64_t{1} << 62, 4) == "");
}

TEST_CASE_METHOD(Fixture, "what a job put in place of its output is not followed") {
  store.make_runner_folder("job-12345678");
  const fs::path output = store.runner_folder("job-12345678") / "job.log";
  std::ofstream(home / "secret") << "secret";
  fs::create_symlink(home / "secret", output);
  CHECK_THROWS_AS(store.read_output("job-12345678", 0, 100), Error);
  fs::remove(output);
  // Opened as a file is, it would wait for a writer.
  REQUIRE(::mkfifo(output.c_str(), 0600) == 0);
  CHECK_THROWS_AS(store.read_output("job-12345678", 0, 100), Error);
  fs::remove(output);
  fs::create_directory(output);
  CHECK_THROWS_AS(store.read_output("job-12345678", 0, 100), Error);
}
