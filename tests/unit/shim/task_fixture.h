#pragma once

#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <fstream>
#include <functional>
#include <future>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>

#include "common/error.h"
#include "common/os/file.h"
#include "shim/docker/container_spec.h"
#include "shim/task/task_manager.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_engine.h"
#include "tests/support/temporary_directory.h"

namespace dstack::shim {

using namespace std::chrono_literals;
using task::TaskStatus;
using test::FakeEngine;

// Volumes that are just counted, and refuse to be unmounted on command.
class CountedVolumes final : public volume::VolumeManager {
 public:
  void mount(const std::string&, const std::vector<volume::VolumeInfo>&, std::stop_token) override { ++mounts; }
  void restore(const std::string&, const std::vector<volume::VolumeInfo>&) override { ++restores; }
  void unmount(const std::string&, const std::vector<volume::VolumeInfo>&, std::stop_token) override {
    ++unmounts;
    if (busy) throw Error(ErrorKind::internal, "umount /mnt/disks/dstack-volumes/v: Device or resource busy");
  }

  std::atomic<int> mounts = 0;
  std::atomic<int> restores = 0;
  std::atomic<int> unmounts = 0;
  std::atomic<bool> busy = false;
};

// GPUs 0 and 1.
class TwoGpus final : public gpu::GpuPool {
 public:
  TwoGpus() = default;
  TwoGpus(const TwoGpus&) = delete;
  TwoGpus& operator=(const TwoGpus&) = delete;
  // Here and not in give_back(): that is called on a task's thread, and only the test's own may check.
  ~TwoGpus() override { CHECK(given_back_twice_.empty()); }

  std::vector<std::string> take(std::int64_t count, const std::stop_token&) override {
    const std::scoped_lock lock(mutex_);
    const std::size_t wanted = count < 0 ? free_.size() : static_cast<std::size_t>(count);
    if (wanted > free_.size()) throw Error(ErrorKind::conflict, "not enough GPUs");
    std::vector<std::string> taken;
    for (std::size_t i = 0; i < wanted; ++i) taken.push_back(free_.extract(free_.begin()).value());
    return taken;
  }
  void restore(const std::vector<std::string>& ids) override {
    const std::scoped_lock lock(mutex_);
    for (const std::string& id : ids) free_.erase(id);
  }
  void give_back(const std::vector<std::string>& ids) override {
    const std::scoped_lock lock(mutex_);
    for (const std::string& id : ids)
      if (!free_.insert(id).second) given_back_twice_.push_back(id);
  }
  docker::GpuSettings settings(const std::vector<std::string>& ids) const override { return {.nvidia_ids = ids}; }

  std::size_t free() {
    const std::scoped_lock lock(mutex_);
    return free_.size();
  }

 private:
  std::mutex mutex_;
  std::set<std::string> free_{"0", "1"};
  std::vector<std::string> given_back_twice_;
};

// A shim's tasks on a fake engine, with a clock that stands still.
struct TaskFixture {
  FakeEngine engine;
  test::FakeClock clock;
  test::TemporaryDirectory folder;
  const std::filesystem::path home = folder / "home";
  const std::filesystem::path runner = folder / "dstack-runner";
  CountedVolumes volumes;
  TwoGpus gpus;
  int runner_http_port = 10999;                  // inside of containers
  std::atomic<int> keys_left = 0;                // tasks whose keys could not be removed
  std::vector<std::chrono::nanoseconds> starts;  // as they were reported, by one task after the other

  // What ends with the process.
  struct Process {
    docker::EngineClient client;
    docker::ImagePuller puller;
    host::KeyRing keys;
    task::TaskManager tasks;

    explicit Process(TaskFixture& host)
        : client(docker::engine_at_socket(host.engine.socket_path()), host.clock),
          puller(client, host.clock),
          keys([&host](const std::string& name) { return host.user(name); }),
          tasks(
              host.home, {client, puller, keys, host.volumes, host.gpus},
              {.runner_binary = host.runner, .runner_http_port = host.runner_http_port}, host.clock,
              [&host](std::chrono::nanoseconds took) { host.starts.push_back(took); }, [&host] { ++host.keys_left; }) {
      tasks.restore();
    }
  };
  std::optional<Process> process;

  TaskFixture() {
    std::ofstream(runner) << "#!/bin/sh\n";
    REQUIRE(::chmod(runner.c_str(), 0755) == 0);
    engine.add_image("app:1");
  }

  host::User user(const std::string& name) const {
    return {.name = name, .uid = ::geteuid(), .gid = ::getegid(), .home = (folder / "user").string()};
  }

  task::TaskManager& tasks() {
    if (!process) process.emplace(*this);
    return process->tasks;
  }
  void restart() {
    process.reset();
    tasks();
  }

  static task::TaskConfig config(const std::string& id = "1") {
    task::TaskConfig config;
    config.id = id;
    config.name = "job";
    config.image_name = "app:1";
    config.network_mode = docker::NetworkMode::bridge;
    return config;
  }
  static std::string container(const std::string& id = "1") { return task::container_name("job", id); }

  // Real time passes only while another thread works towards it.
  template <typename Condition>
  static void await(Condition condition) {
    while (!condition()) std::this_thread::yield();
  }
  task::TaskInfo await_status(TaskStatus status, const std::string& id = "1") {
    await([&] { return tasks().info(id).status == status; });
    return tasks().info(id);
  }
  task::TaskInfo run(task::TaskConfig wanted = config()) {
    const std::string id = wanted.id;
    tasks().submit(std::move(wanted), Secret());
    await([&] { return tasks().info(id).status >= TaskStatus::running; });
    return tasks().info(id);
  }
  task::TaskInfo terminate(const std::string& id = "1", std::chrono::seconds grace = 0s) {
    return tasks().terminate(id, {.reason = "aborted_by_user", .message = "enough"}, grace);
  }
  std::future<task::TaskInfo> terminate_meanwhile(const std::string& id = "1", std::chrono::seconds grace = 0s) {
    return std::async(std::launch::async, [this, id, grace] { return terminate(id, grace); });
  }

  nlohmann::json journal(const std::string& id = "1") const {
    return nlohmann::json::parse(os::read_file(home / "tasks" / container(id) / "task.json"));
  }
};

// Holds an engine's answer back until it is let go; then the engine does as usual.
class Gate {
 public:
  Gate(FakeEngine& engine, const std::string& line) {
    engine.on(
        line,
        [this, &engine](const FakeEngine::Request& request, FakeEngine::Reply& reply) {
          reached_.set_value();
          opened_.wait();
          engine.as_usual(request, reply);
        },
        1);
  }
  void await() { reached_.get_future().wait(); }
  void open() { open_.set_value(); }

 private:
  std::promise<void> reached_;
  std::promise<void> open_;
  std::future<void> opened_ = open_.get_future();
};

}  // namespace dstack::shim
