#include "shim/doctor/leftover_checks.h"
#include "tests/unit/shim/doctor_test.h"

namespace dstack::shim::doctor {

namespace {

struct LeftoverFixture : DoctorFixture {
  void journal(const std::string& container, const std::string& text) const {
    write(host.home / "tasks" / container / "task.json", text);
  }
  void task(const std::string& container, const std::string& more) const {
    journal(container, R"({"container_name":")" + container + R"(","status":"running",)" + more + "}");
  }
  docker::ContainerSummary container(const std::string& name, const std::filesystem::path& home) const {
    return {.id = name, .name = name, .mounts = {{(home / "runners" / name).string(), "/tmp/runner"}}};
  }
  docker::ContainerSummary container(const std::string& name) const { return container(name, host.home); }
};

}  // namespace

TEST_CASE_METHOD(LeftoverFixture, "a home that is not there yet has no journals, and is not made") {
  const Journals journals = read_journals(host.home);
  CHECK(journals.container_names.empty());
  CHECK_FALSE(std::filesystem::exists(host.home));
}

TEST_CASE_METHOD(LeftoverFixture, "journals tell of containers, and of volumes that are not given back") {
  task("a-1", R"("holds_volumes":true,"given_back":false,"config":{"volumes":[{"name":"data"},{"name":"more"}]})");
  task("b-2", R"("holds_volumes":true,"given_back":true,"config":{"volumes":[{"name":"old"}]})");
  journal("c-3", "not JSON");
  const Journals journals = read_journals(host.home);
  CHECK(journals.container_names == std::set<std::string>{"a-1", "b-2", "c-3"});
  CHECK(journals.volumes == std::set<std::string>{"data", "more"});
  CHECK(journals.unreadable == 1);
  CHECK(judge_containers({}, journals, host.home).verdict == Verdict::warning);
}

TEST_CASE_METHOD(LeftoverFixture, "a journal that did not outlive a power cut is read as it was last flushed") {
  task("a-1", R"("holds_volumes":true,"config":{"volumes":[{"name":"data"}]})");
  std::filesystem::rename(host.home / "tasks/a-1/task.json", host.home / "tasks/a-1/task.json.flushed");
  journal("a-1", "");
  const Journals journals = read_journals(host.home);
  CHECK(journals.volumes == std::set<std::string>{"data"});
  CHECK(journals.unreadable == 0);
}

TEST_CASE_METHOD(LeftoverFixture, "a task's folder that has no journal yet is no task") {
  std::filesystem::create_directories(host.home / "tasks/new-1");
  const Journals journals = read_journals(host.home);
  CHECK(journals.container_names.empty());
  CHECK(journals.unreadable == 0);
}

TEST_CASE_METHOD(LeftoverFixture, "a container of this home without a journal is left behind") {
  task("known-1", R"("config":{})");
  const Journals journals = read_journals(host.home);
  const Finding fine =
      judge_containers({container("known-1"), container("theirs-1", "/other/home")}, journals, host.home);
  CHECK(fine == ok("1 of known tasks, none left behind; 1 of shims with another home"));
  const Finding left = judge_containers({container("known-1"), container("old-2")}, journals, host.home);
  CHECK(left.verdict == Verdict::warning);
  CHECK(left.found == "1 that no task is known of: old-2");
  CHECK(left.remedy.contains("docker rm -fv"));
}

TEST_CASE_METHOD(LeftoverFixture, "a home that is reached through a link has the containers of its target") {
  const std::filesystem::path real = folder / "real";
  std::filesystem::create_directories(real / "runners/old-2");
  std::filesystem::create_directory_symlink(real, host.home);
  const Finding left = judge_containers({container("old-2", real)}, {}, host.home);
  CHECK(left.found == "1 that no task is known of: old-2");
}

TEST_CASE_METHOD(LeftoverFixture, "many are counted rather than named") {
  std::vector<docker::ContainerSummary> many;
  for (int i = 0; i < 8; ++i) many.push_back(container("c" + std::to_string(i)));
  const Finding finding = judge_containers(many, {}, host.home);
  CHECK(finding.found.ends_with("c4 and 3 more"));
}

TEST_CASE_METHOD(LeftoverFixture, "a volume that is mounted and nobody's is left behind") {
  Journals journals;
  journals.volumes = {"data"};
  const std::vector<os::Mount> mounts{{.mount_point = "/"},
                                      {.mount_point = "/mnt/disks/dstack-volumes/data", .source = "/dev/sdb"}};
  CHECK(judge_volumes(mounts, journals) == ok("1 mounted for tasks, none left behind"));
  const Finding left = judge_volumes(mounts, {});
  CHECK(left.verdict == Verdict::warning);
  CHECK(left.found.contains("/mnt/disks/dstack-volumes/data"));
  CHECK(left.remedy.contains("umount"));
}

TEST_CASE_METHOD(LeftoverFixture, "without Docker the containers cannot be told, and that alone breaks nothing") {
  engine.die();
  CHECK(check_containers(host).verdict == Verdict::warning);
}

TEST_CASE_METHOD(LeftoverFixture, "a folder that a container saw and that has no task is named") {
  task("a-1", "\"given_back\":true");
  CHECK(check_folders(host).verdict == Verdict::ok);
  std::filesystem::create_directories(host.home / "runners/a-1");
  CHECK(check_folders(host).verdict == Verdict::ok);
  std::filesystem::create_directories(host.home / "runners/b-2");
  const Finding finding = check_folders(host);
  CHECK(finding.verdict == Verdict::warning);
  CHECK(finding.found.contains("b-2"));
}

}  // namespace dstack::shim::doctor
