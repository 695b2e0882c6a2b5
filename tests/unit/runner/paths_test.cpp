#include "runner/job/paths.h"

#include <sys/stat.h>
#include <unistd.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>

#include "common/error.h"
#include "common/os/file.h"
#include "runner/job/ssh_folder.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/runner/lacking_capabilities.h"

namespace dstack::runner::job {

namespace {

struct stat look_at(const std::filesystem::path& path) {
  struct stat status{};
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return status;
}

JobUser ann() {
  JobUser user;
  user.uid = 1234;
  user.gid = 1235;
  return user;
}

}  // namespace

TEST_CASE("a tilde is the user's home and nothing else") {
  CHECK(expand_path("~", "/base", "/home/ann") == "/home/ann");
  CHECK(expand_path("~/", "/base", "/home/ann") == "/home/ann");
  CHECK(expand_path("~//a/b", "/base", "/home/ann") == "/home/ann/a/b");
  CHECK(expand_path("a/~", "/base", "/home/ann") == "/base/a/~");
  CHECK_THROWS_AS(expand_path("~bob", "/base", "/home/ann"), Error);
  CHECK_THROWS_AS(expand_path("~bob/x", "/base", "/home/ann"), Error);
}

TEST_CASE("a relative path counts from the base") {
  CHECK(expand_path("repo", "/work", "/") == "/work/repo");
  CHECK(expand_path(".", "/work", "/") == "/work");
  CHECK(expand_path("/abs/", "/work", "/") == "/abs");
  CHECK(expand_path("/", "/work", "/") == "/");
  CHECK(expand_path("a b/$x", "/work", "/") == "/work/a b/$x");
  CHECK_FALSE(expand_path("repo", "", "/").is_absolute());
  CHECK_FALSE(expand_path("", "", "/").is_absolute());
}

TEST_CASE("folders that are made belong to the user, those that were there stay as they are") {
  if (::geteuid() != 0) SKIP("needs root");
  const test::TemporaryDirectory folder;
  const auto before = look_at(folder.path());
  const mode_t umask = ::umask(077);
  make_folders_for(folder / "a/b", ann(), 0755);
  ::umask(umask);
  for (const char* name : {"a", "a/b"}) {
    CHECK(look_at(folder / name).st_uid == 1234);
    CHECK(look_at(folder / name).st_gid == 1235);
    CHECK((look_at(folder / name).st_mode & 07777) == 0755);
  }
  CHECK(look_at(folder.path()).st_uid == before.st_uid);
}

TEST_CASE("a file in the way of a folder is named") {
  const test::TemporaryDirectory folder;
  std::ofstream(folder / "file") << "x";
  for (const char* name : {"file", "file/below"}) {
    CHECK_THROWS_MATCHES(make_folders_for(folder / name, ann(), 0755), Error,
                         Catch::Matchers::MessageMatches(Catch::Matchers::ContainsSubstring("file: Not a directory")));
  }
}

TEST_CASE("a user's file replaces a link and does not follow it") {
  if (::geteuid() != 0) SKIP("needs root");
  const test::TemporaryDirectory folder;
  std::ofstream(folder / "secret") << "untouched";
  std::filesystem::create_symlink(folder / "secret", folder / "key");
  write_file_for(folder / "key", "text", ann(), 0600);
  CHECK(os::read_file(folder / "secret") == "untouched");
  CHECK(os::read_file(folder / "key") == "text");
  CHECK(look_at(folder / "key").st_uid == 1234);
  CHECK((look_at(folder / "key").st_mode & 07777) == 0600);
}

TEST_CASE("a link in the place of ~/.ssh is left alone, and so is what it leads to") {
  const test::TemporaryDirectory folder;
  std::filesystem::create_directories(folder / "etc");
  std::filesystem::create_directories(folder / "home");
  REQUIRE(::chmod((folder / "etc").c_str(), 0755) == 0);
  std::filesystem::create_directory_symlink(folder / "etc", folder / "home/.ssh");
  JobUser user = ann();
  user.home = folder / "home";
  CHECK_THROWS_AS(prepare_ssh_folder(user), Error);
  CHECK(look_at(folder / "etc").st_uid == ::geteuid());
  CHECK((look_at(folder / "etc").st_mode & 07777) == 0755);
}

TEST_CASE("without DAC_OVERRIDE the user's own closed folders are written in the user's name") {
  if (::geteuid() != 0) SKIP("only root acts for others");
  const test::TemporaryDirectory folder;
  JobUser user = ann();
  user.home = folder / "home";
  std::filesystem::create_directory(user.home);
  REQUIRE(::chown(user.home.c_str(), user.uid, user.gid) == 0);
  REQUIRE(::chmod(user.home.c_str(), 0700) == 0);
  REQUIRE(::chmod(folder.path().c_str(), 0755) == 0);
  {
    const test::LackingCapabilities lacking{CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH};
    const std::filesystem::path ssh = prepare_ssh_folder(user);
    write_file_for(ssh / "key", "text", user, 0600);
    make_folders_for(user.home / "a/b", user, 0755);
  }
  CHECK(os::read_file(user.home / ".ssh/key") == "text");
  CHECK(look_at(user.home / ".ssh/key").st_uid == 1234);
  CHECK(look_at(user.home / "a/b").st_uid == 1234);
}

}  // namespace dstack::runner::job
