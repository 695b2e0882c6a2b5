#include "common/os/file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <thread>

#include "common/error.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

mode_t mode_of(const std::filesystem::path& path) {
  struct stat information{};
  REQUIRE(::stat(path.c_str(), &information) == 0);
  return information.st_mode & 07777;
}

std::size_t entries(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

}  // namespace

TEST_CASE("a file written atomically has the content and the mode asked for") {
  const test::TemporaryDirectory folder;
  os::write_file_atomic(folder / "a", "one", 0600);
  os::write_file_atomic(folder / "a", "two", 0644);
  CHECK(os::read_file(folder / "a") == "two");
  CHECK(mode_of(folder / "a") == 0644);
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("an atomic write that fails leaves the old content and no temporary file") {
  const test::TemporaryDirectory folder;
  std::filesystem::create_directories(folder / "target" / "occupied");
  CHECK_THROWS_MATCHES(os::write_file_atomic(folder / "target", "x", 0600), Error,
                       MessageMatches(ContainsSubstring("replace") && ContainsSubstring("target")));
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("reading names the file that is missing") {
  const test::TemporaryDirectory folder;
  CHECK_THROWS_MATCHES(os::read_file(folder / "absent"), Error,
                       MessageMatches(ContainsSubstring("absent: No such file or directory")));
  CHECK_FALSE(os::try_read_file(folder / "absent"));
}

TEST_CASE("reading stops at its limit") {
  const test::TemporaryDirectory folder;
  os::write_file_atomic(folder / "a", "12345", 0600);
  CHECK(os::read_file(folder / "a", 5) == "12345");
  CHECK_THROWS_AS(os::read_file(folder / "a", 4), Error);
}

TEST_CASE("folders are made with their mode whatever the umask, and existing ones left alone") {
  const test::TemporaryDirectory folder;
  const mode_t before = ::umask(077);
  std::filesystem::create_directory(folder / "old");
  os::make_directories(folder / "old" / "a" / "b", 0755);
  ::umask(before);
  CHECK(mode_of(folder / "old") == 0700);
  CHECK(mode_of(folder / "old/a") == 0755);
  CHECK(mode_of(folder / "old/a/b") == 0755);
}

TEST_CASE("a folder in the place of a file is an error") {
  const test::TemporaryDirectory folder;
  os::write_file_atomic(folder / "a", "", 0600);
  CHECK_THROWS_AS(os::make_directories(folder / "a" / "b", 0755), Error);
}

TEST_CASE("folders are made through links that are there, and by names that are relative") {
  const test::TemporaryDirectory folder;
  std::filesystem::create_directory(folder / "real");
  std::filesystem::create_directory_symlink("real", folder / "link");
  os::make_directories(folder / "link/a/b/", 0750);
  CHECK(mode_of(folder / "real/a/b") == 0750);
  std::filesystem::create_symlink("nowhere", folder / "dangling");
  CHECK_THROWS_AS(os::make_directories(folder / "dangling/a", 0755), Error);
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  os::make_directories("x/y", 0700);
  std::filesystem::current_path(before);
  CHECK(mode_of(folder / "x/y") == 0700);
}

TEST_CASE("a folder that is exchanged for a link while it is made leads nowhere") {
  const test::TemporaryDirectory folder;
  const std::string place = folder / "place";
  const std::string link = folder / "link";
  std::filesystem::create_directory(folder / "victim");
  REQUIRE(::chmod((folder / "victim").c_str(), 0700) == 0);
  std::atomic<bool> done = false;
  std::thread attacker([&] {
    while (!done) ::renameat2(AT_FDCWD, place.c_str(), AT_FDCWD, link.c_str(), RENAME_EXCHANGE);
  });
  for (int i = 0; i < 3000 && mode_of(folder / "victim") == 0700; ++i) {
    // Each may fail, when the two are exchanged meanwhile.
    std::error_code ignored;
    std::filesystem::remove(place, ignored);
    std::filesystem::remove(link, ignored);
    std::filesystem::create_symlink("victim", link, ignored);
    try {
      os::make_directories(place, 0777);
    } catch (const Error&) {
      // The exchange was noticed.
    }
  }
  done = true;
  attacker.join();
  CHECK(mode_of(folder / "victim") == 0700);
}
