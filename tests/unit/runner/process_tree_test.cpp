#include "runner/job/process_tree.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <fstream>
#include <future>

#include "common/os/child.h"
#include "common/os/child_lines.h"
#include "common/os/child_thread.h"
#include "common/os/reaper.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/runner/running_job.h"

namespace dstack::runner::job {

namespace {

class FakeProc {
 public:
  void add(pid_t pid, const std::string& stat) {
    std::filesystem::create_directory(folder_ / std::to_string(pid));
    std::ofstream(folder_ / (std::to_string(pid) + "/stat")) << stat;
  }
  std::vector<pid_t> find(pid_t root, const std::vector<pid_t>& except = {}) const {
    std::vector<pid_t> pids;
    for (const ProcessEntry& entry : find_descendants(root, list(), except)) pids.push_back(entry.pid);
    std::ranges::sort(pids);
    return pids;
  }
  std::vector<ProcessEntry> list() const { return os::list_processes(folder_.path()); }
  const test::TemporaryDirectory& folder() const { return folder_; }

 private:
  test::TemporaryDirectory folder_;
};

}  // namespace

TEST_CASE("descendants are children and their children, without those of others") {
  FakeProc proc;
  proc.add(1, "1 (runner) S 0 1 1 0 -1");
  proc.add(2, "2 (job) S 1 2 2 0 -1");
  proc.add(3, "3 (child) Z 2 2 2 0 -1");
  proc.add(4, "4 (sshd) S 1 4 4 0 -1");
  proc.add(5, "5 (session) S 4 5 5 0 -1");
  proc.add(6, "6 (exec'd from outside) S 0 6 6 0 -1");
  CHECK(proc.find(1) == std::vector<pid_t>{2, 3, 4, 5});
  CHECK(proc.find(1, {4}) == std::vector<pid_t>{2, 3});
  CHECK(proc.find(99).empty());
}

TEST_CASE("what is left of a process group is left out with the group") {
  FakeProc proc;
  proc.add(2, "2 (job) S 1 2 2 0 -1");
  proc.add(3, "3 (orphan of a tool) D 1 9 1 0 -1");
  CHECK(proc.find(1, {9}) == std::vector<pid_t>{2});
}

TEST_CASE("the runner's own tools are no part of the job, also one that cannot be killed") {
  const test::TemporaryDirectory folder;
  const std::string file = folder / "held";
  const os::Child tool({.arguments = {"sleep", "1000"}});
  test::FakeClock clock;
  auto hangs = std::make_unique<os::Child>(
      os::ChildSpec{.arguments = {DSTACK_TEST_UNKILLABLE, file}, .output = os::ChildStream::pipe()}, clock);
  os::ChildLines(*hangs).next();
  const pid_t hanging = hangs->pid();
  const auto owner = std::async(std::launch::async, [&] { hangs.reset(); });
  clock.advance_until_ready(owner);

  test::RunningJob job("echo ready; read line");
  job.output.await("ready");
  std::vector<pid_t> found;
  for (const ProcessEntry& process : find_job_processes(job.process.pid())) found.push_back(process.pid);
  CHECK(std::ranges::contains(found, job.process.pid()));
  for (const pid_t own : {tool.pid(), hanging}) CHECK_FALSE(std::ranges::contains(found, own));
  std::filesystem::remove(file);
  while (std::ranges::contains(os::started_children(), hanging)) std::this_thread::yield();
}

TEST_CASE("a process may be called anything") {
  FakeProc proc;
  proc.add(2, "2 (a) S 9 (b c) R 9 7 8 0 -1");
  proc.add(3, "3 nonsense");
  proc.add(4, "");
  std::ofstream(proc.folder() / "version") << "x";
  const auto found = proc.list();
  REQUIRE(found.size() == 1);
  CHECK(found[0].pid == 2);
  CHECK(found[0].parent == 9);
  CHECK(found[0].group == 7);
  CHECK(found[0].session == 8);
  CHECK(found[0].state == 'R');
}

TEST_CASE("nothing is found where there is no /proc") { CHECK(os::list_processes("/no/such/proc").empty()); }

TEST_CASE("a process that left its session is still found, and reaped when it has ended") {
  os::adopt_orphans();
  // Deaf to the hang-up that the leader's end sends, which may come before setsid.
  test::RunningJob job("trap '' HUP; sh -c 'setsid sh -c \"echo orphan; exec sleep 1000\" &'");
  job.output.await("orphan");
  job.process.wait();
  const auto left = test::everything_below();
  REQUIRE(left.size() == 1);
  CHECK(left[0].parent == ::getpid());
  ::kill(left[0].pid, SIGKILL);
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(left[0].pid), &info, WEXITED | WNOWAIT) == 0);
  CHECK(os::reap_orphans());
  CHECK_FALSE(os::reap_orphans());
  CHECK(test::everything_below().empty());
}

TEST_CASE("another thread's child is not reaped") {
  const test::RunningJob* job = nullptr;
  std::mutex mutex;
  std::condition_variable changed;
  bool may_wait = false;
  ExitStatus status;
  std::thread owner([&] {
    test::RunningJob mine("exit 7");
    std::unique_lock lock(mutex);
    job = &mine;
    changed.notify_all();
    changed.wait(lock, [&] { return may_wait; });
    status = mine.process.wait();
  });
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return job != nullptr; });
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(job->process.pid()), &info, WEXITED | WNOWAIT) == 0);
  CHECK_FALSE(os::reap_orphans());
  may_wait = true;
  changed.notify_all();
  lock.unlock();
  owner.join();
  CHECK(status.code == 7);
}

}  // namespace dstack::runner::job
