#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>

#include "common/os/file.h"
#include "shim/ci/file_appears.h"
#include "shim/ci/job_note.h"
#include "shim/ci/journal.h"
#include "shim/ci/remains.h"
#include "shim/ci/work_folder.h"
#include "tests/support/temporary_directory.h"

namespace dstack::shim::ci {

using Catch::Matchers::ContainsSubstring;

namespace {

mode_t mode_of(const std::filesystem::path& path) {
  struct stat status{};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

Journal journal() {
  return {.name = "r",
          .repo = "https://gitlab.com/t/p",
          .driver = "gitlab",
          .base_url = "https://gitlab.com",
          .path = "t/p",
          .runner = "7",
          .may_be_listed = true,
          .shim_port = 10998,
          .own_shim = true,
          .made_folder = true};
}

}  // namespace

TEST_CASE("a journal is read as it was written, and closed to others") {
  const test::TemporaryDirectory folder;
  CHECK_FALSE(read_journal(folder.path()));
  write_journal(folder.path(), journal());
  CHECK(read_journal(folder.path()) == journal());
  CHECK(mode_of(journal_file(folder.path())) == 0600);
}

TEST_CASE("a journal that is damaged is an error that names it") {
  const test::TemporaryDirectory folder;
  std::ofstream(journal_file(folder.path())) << "{\"name\":";
  CHECK_THROWS_WITH(read_journal(folder.path()), ContainsSubstring("launcher.json"));
}

TEST_CASE("a work folder is 0700, and taken by one at a time") {
  const test::TemporaryDirectory parent;
  const std::filesystem::path path = parent.path() / "work";
  {
    const WorkFolder folder(path);
    CHECK(folder.was_made());
    CHECK(mode_of(path) == 0700);
    CHECK(is_taken(path));
    CHECK_THROWS_WITH(WorkFolder(path), ContainsSubstring(path.string()) && ContainsSubstring("in use"));
  }
  CHECK_FALSE(is_taken(path));
}

TEST_CASE("clearing a work folder leaves what others put into it") {
  const test::TemporaryDirectory parent;
  const std::filesystem::path path = parent.path() / "work";
  WorkFolder folder(path);
  write_journal(path, journal());
  folder.hold_tasks();
  SECTION("with a file of another") {
    std::ofstream(path / "notes") << "x";
    folder.clear(true);
    CHECK(os::list_folder(path) == std::vector<std::string>{"notes"});
  }
  SECTION("without") {
    folder.clear(true);
    CHECK_FALSE(std::filesystem::exists(path));
  }
}

TEST_CASE("a work folder in which a launcher left nothing but its lock is removed as one that was made") {
  const test::TemporaryDirectory parent;
  const std::filesystem::path path = parent.path() / "work";
  os::make_directories(path, 0700);
  CHECK_FALSE(WorkFolder(path).was_made());  // the user made it
  REQUIRE(std::filesystem::exists(path / "launcher.lock"));
  std::ofstream(path / "launcher.json.a1B2c3") << "{";  // killed while it wrote its journal
  SECTION("with nothing else in it") {
    WorkFolder folder(path);
    CHECK(folder.was_made());
    folder.clear(folder.was_made());
    CHECK_FALSE(std::filesystem::exists(path));
  }
  SECTION("with a file of another") {
    std::ofstream(path / "notes") << "x";
    WorkFolder folder(path);
    CHECK_FALSE(folder.was_made());
    folder.clear(folder.was_made());
    CHECK(os::list_folder(path) == std::vector<std::string>{"notes"});
  }
}

TEST_CASE("a folder with other things in it keeps its mode") {
  const test::TemporaryDirectory parent;
  const std::filesystem::path path = parent.path() / "work";
  os::make_directories(path, 0755);
  std::ofstream(path / "notes") << "x";
  const WorkFolder folder(path);
  CHECK(mode_of(path) == 0755);
}

TEST_CASE("dead launchers are found by their journals, living ones are not") {
  const test::TemporaryDirectory parent;
  for (const char* name : {"dead", "alive", "empty"}) os::make_directories(parent.path() / name, 0700);
  write_journal(parent.path() / "dead", journal());
  write_journal(parent.path() / "alive", journal());
  const WorkFolder alive(parent.path() / "alive");
  const auto found = find_remains(parent.path(), {});
  REQUIRE(found.size() == 1);
  CHECK(found[0].folder == parent.path() / "dead");
  CHECK(found[0].journal == journal());
}

TEST_CASE("a driver's note of a job reaches the launcher") {
  const test::TemporaryDirectory state;
  CHECK_FALSE(read_job_note(state.path(), "17"));
  write_job_note(state.path(), {.id = "17", .project = "3", .pipeline = "170"});
  CHECK(read_job_note(state.path(), "17") == CiJob{.id = "17", .project = "3", .pipeline = "170"});
  CHECK(noted_jobs(state.path()) == std::vector<std::string>{"17"});
  CHECK_FALSE(read_job_note(state.path(), "../17"));
  CHECK_THROWS(write_job_note(state.path(), {.id = "../x", .project = "", .pipeline = ""}));
}

TEST_CASE("a file that is made is noticed") {
  const test::TemporaryDirectory folder;
  const FileAppears watch(folder.path() / "going-away");
  CHECK_FALSE(watch.appeared());
  std::ofstream(folder.path() / "going-away") << "";
  CHECK(watch.appeared());
}

}  // namespace dstack::shim::ci
