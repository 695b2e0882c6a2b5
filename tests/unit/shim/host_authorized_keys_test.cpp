#include "shim/host/authorized_keys.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <fstream>

#include "common/error.h"
#include "common/os/file.h"
#include "shim/host/key_ring.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::host;
namespace fs = std::filesystem;

namespace {

const std::string key_a = "ssh-ed25519 AAAAkeyA me@here";
const std::string key_b = "ssh-rsa AAAAkeyB";
const std::string suffix(kKeyLineSuffix);

std::string changed(std::string text, const KeyChange& change) {
  change_our_keys(text, change);
  return text;
}

struct stat status_of(const fs::path& path) {
  struct stat status{};
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return status;
}

// A user with a home of the test's; nobody where the test is root, itself where it is not.
struct Fixture {
  test::TemporaryDirectory folder;
  User user{.name = "somebody",
            .uid = ::geteuid() == 0 ? 65534 : ::geteuid(),
            .gid = ::geteuid() == 0 ? 65534 : ::getegid(),
            .home = (folder / "home").string()};
  const fs::path file = folder / "home/.ssh/authorized_keys";

  Fixture() {
    // The temporary folder is its maker's alone.
    REQUIRE(::chmod(folder.path().c_str(), 0755) == 0);
    fs::create_directory(user.home);
    give(user.home);
  }
  void give(const fs::path& path) const { REQUIRE(::lchown(path.c_str(), user.uid, user.gid) == 0); }
  void write(const std::string& text, mode_t mode = 0600) const {
    fs::create_directories(file.parent_path());
    give(file.parent_path());
    std::ofstream(file) << text;
    give(file);
    REQUIRE(::chmod(file.c_str(), mode) == 0);
  }
};

}  // namespace

TEST_CASE("a key is appended with our mark") {
  CHECK(changed("", {.add = {key_a}}) == key_a + suffix + "\n");
  CHECK(changed("foreign\n", {.add = {key_a, key_b}}) == "foreign\n" + key_a + suffix + "\n" + key_b + suffix + "\n");
}

TEST_CASE("a last line without an end gets one before ours") {
  CHECK(changed("foreign", {.add = {key_b}}) == "foreign\n" + key_b + suffix + "\n");
}

TEST_CASE("foreign lines stay byte for byte") {
  const std::string foreign = "# comment\r\n\n  \t" + key_b + "\ncommand=\"x\" " + key_a + "\n\xff\xfe not text\n" +
                              key_a + " # added by dstack-shim too\n";
  CHECK(changed(changed(foreign, {.add = {"ssh-ed25519 AAAAnew"}}), {.remove = {"ssh-ed25519 AAAAnew"}}) == foreign);
  CHECK(changed(foreign, {.remove = {key_a, key_b}, .remove_others = true}) == foreign);
}

TEST_CASE("a key that was there before is not added, and stays afterwards") {
  const std::string before = "ssh-ed25519 AAAAkeyA another comment\n";
  CHECK(changed(before, {.add = {key_a}}) == before);
  CHECK(changed(before, {.remove = {key_a}}) == before);
}

TEST_CASE("a key behind options does not count as there: its options would hold for us") {
  const std::string before = "restrict,command=\"true\" " + key_a + "\n";
  CHECK(changed(before, {.add = {key_a}}) == before + key_a + suffix + "\n");
}

TEST_CASE("the same key is ours once, whatever its comment") {
  const std::string once = key_a + suffix + "\n";
  CHECK(changed(once, {.add = {"ssh-ed25519 AAAAkeyA other"}}) == once);
  CHECK(changed("", {.add = {key_a, key_a}}) == once);
  CHECK(changed(once + once, {.add = {key_a}}) == once);
}

TEST_CASE("keys to keep survive the removal of others") {
  const std::string both = key_a + suffix + "\n" + key_b + suffix + "\n";
  CHECK(changed(both, {.remove = {key_a, key_b}, .keep = {key_b}}) == key_b + suffix + "\n");
  CHECK(changed(both, {.keep = {key_a}, .remove_others = true}) == key_a + suffix + "\n");
  CHECK(changed("", {.keep = {key_a}}).empty());
}

TEST_CASE_METHOD(Fixture, "a missing file and its folder are made for the user alone") {
  change_our_keys(user, {.add = {key_a}});
  CHECK(os::read_file(file) == key_a + suffix + "\n");
  for (const auto& [path, mode] : {std::pair{file, 0600U}, std::pair{file.parent_path(), 0700U}}) {
    CHECK((status_of(path).st_mode & 07777) == mode);
    CHECK(status_of(path).st_uid == user.uid);
    CHECK(status_of(path).st_gid == user.gid);
  }
  CHECK(has_our_keys(user));
}

TEST_CASE_METHOD(Fixture, "nothing is made where there is nothing to take away") {
  change_our_keys(user, {.remove = {key_a}});
  CHECK_FALSE(fs::exists(file.parent_path()));
  CHECK_FALSE(has_our_keys(user));
}

TEST_CASE_METHOD(Fixture, "a home closed to its own user takes no key, and holds nobody up who gives one back") {
  if (::geteuid() != 0) SKIP("only root's files are out of a user's reach");
  REQUIRE(::chmod(folder.path().c_str(), 0700) == 0);
  CHECK_THROWS_AS(change_our_keys(user, {.add = {key_a}}), Error);
  CHECK_NOTHROW(change_our_keys(user, {.remove = {key_a}}));
}

TEST_CASE_METHOD(Fixture, "owner and mode stay, and no other file is left behind") {
  write("foreign\n", 0640);
  change_our_keys(user, {.add = {key_a}});
  CHECK((status_of(file).st_mode & 07777) == 0640);
  CHECK(status_of(file).st_uid == user.uid);
  CHECK(std::distance(fs::directory_iterator(file.parent_path()), {}) == 1);
}

TEST_CASE_METHOD(Fixture, "a file of root's in the user's folder stays root's") {
  if (::geteuid() != 0) SKIP("needs root");
  write("foreign\n", 0644);
  REQUIRE(::chown(file.c_str(), 0, 0) == 0);
  change_our_keys(user, {.add = {key_a}});
  CHECK(os::read_file(file) == "foreign\n" + key_a + suffix + "\n");
  CHECK(status_of(file).st_uid == 0);
  CHECK((status_of(file).st_mode & 07777) == 0644);
}

TEST_CASE_METHOD(Fixture, "a folder of root's is handled as root") {
  if (::geteuid() != 0) SKIP("needs root");
  fs::create_directories(file.parent_path());
  REQUIRE(::chmod(file.parent_path().c_str(), 0755) == 0);
  std::ofstream(file) << "foreign\n";
  change_our_keys(user, {.add = {key_a}});
  CHECK(os::read_file(file) == "foreign\n" + key_a + suffix + "\n");
  CHECK(status_of(file).st_uid == 0);
  CHECK(has_our_keys(user));
  change_our_keys(user, {.remove = {key_a}});
  CHECK(os::read_file(file) == "foreign\n");
}

TEST_CASE_METHOD(Fixture, "a link to a file of the user's is followed, and stays a link") {
  write("foreign\n");
  const fs::path target = fs::path(user.home) / "dotfiles";
  fs::rename(file, target);
  fs::create_symlink(target, file);
  give(file);
  change_our_keys(user, {.add = {key_a}});
  CHECK(fs::is_symlink(file));
  CHECK(os::read_file(target) == "foreign\n" + key_a + suffix + "\n");
}

TEST_CASE_METHOD(Fixture, "a link leads no further than the user gets alone") {
  if (::geteuid() != 0) SKIP("needs root");
  const fs::path secret = folder / "secret";
  fs::create_directory(secret);
  std::ofstream(secret / "file") << "root's\n";
  REQUIRE(::chmod(secret.c_str(), 0700) == 0);
  fs::create_directories(file.parent_path());
  give(file.parent_path());
  fs::create_symlink(secret / "file", file);
  give(file);
  CHECK_THROWS_AS(change_our_keys(user, {.add = {key_a}}), Error);
  CHECK(os::read_file(secret / "file") == "root's\n");

  fs::remove_all(file.parent_path());
  fs::create_directory_symlink(secret, file.parent_path());
  give(file.parent_path());
  CHECK_THROWS_AS(change_our_keys(user, {.add = {key_a}}), Error);
  CHECK_FALSE(fs::exists(secret / "authorized_keys"));
}

TEST_CASE_METHOD(Fixture, "a pipe in the file's place is refused at once") {
  fs::create_directories(file.parent_path());
  give(file.parent_path());
  REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
  give(file);
  CHECK_THROWS_AS(change_our_keys(user, {.add = {key_a}}), Error);
  CHECK_FALSE(has_our_keys(user));
}

TEST_CASE_METHOD(Fixture, "a key stays as long as any task holds it") {
  KeyRing ring([this](const std::string&) { return user; });
  ring.hold("task-1", "somebody", {key_a, key_b});
  ring.hold("task-2", "somebody", {"ssh-ed25519 AAAAkeyA of the second task"});
  ring.release("task-1");
  CHECK(os::read_file(file) == key_a + suffix + "\n");
  ring.release("task-2");
  CHECK(os::read_file(file).empty());
  ring.release("task-2");
}

TEST_CASE_METHOD(Fixture, "the keys of a user who is gone have gone as well") {
  KeyRing ring([](const std::string& name) -> User { throw Error(ErrorKind::not_found, name); });
  ring.restore("task", "ghost", {key_a});
  CHECK_NOTHROW(ring.release("task"));
}

TEST_CASE_METHOD(Fixture, "a key that could not be removed is held no longer, so that the next sweep removes it") {
  KeyRing ring([this](const std::string&) { return user; });
  ring.hold("task", "somebody", {key_a});
  fs::rename(file, file.string() + ".aside");
  REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
  give(file);
  CHECK_THROWS_AS(ring.release("task"), Error);
  fs::rename(file.string() + ".aside", file);
  ring.release("task");
  CHECK(os::read_file(file) == key_a + suffix + "\n");
  change_our_keys(user, {.remove_others = true});
  CHECK(os::read_file(file).empty());
}

TEST_CASE("a user that this host does not have is told by name") {
  KeyRing ring;
  CHECK_THROWS_AS(ring.hold("task", "no-such-user-here", {key_a}), Error);
  CHECK_THROWS_AS(ring.hold("task", "", {key_a}), Error);
  CHECK_NOTHROW(ring.release("task"));
}
