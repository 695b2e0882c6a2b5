#include "common/os/user_db.h"

#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
#include <fstream>

#include "common/error.h"
#include "tests/support/temporary_directory.h"

namespace dstack::os {

namespace {

// A passwd and a group file with the given text; not there for an absent one.
class Files {
 public:
  explicit Files(std::optional<std::string> passwd, std::optional<std::string> group = std::nullopt) {
    if (passwd) std::ofstream(folder_ / "passwd", std::ios::binary) << *passwd;
    if (group) std::ofstream(folder_ / "group", std::ios::binary) << *group;
  }
  UserDatabase database() const { return UserDatabase(folder_ / "passwd", folder_ / "group"); }
  const test::TemporaryDirectory& folder() const { return folder_; }

 private:
  test::TemporaryDirectory folder_;
};

}  // namespace

TEST_CASE("a user is found by number and by name") {
  const Files files("root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001:Ann:/home/ann:/bin/bash\n");
  const auto ann = files.database().find_user(UserId{1000});
  REQUIRE(ann);
  CHECK(ann->name == "ann");
  CHECK(ann->gid == 1001);
  CHECK(ann->home == "/home/ann");
  CHECK(ann->shell == "/bin/bash");
  CHECK(files.database().find_user("root")->uid == 0);
  CHECK_FALSE(files.database().find_user("nobody"));
}

TEST_CASE("missing user files are empty ones") {
  const Files files(std::nullopt);
  CHECK_FALSE(files.database().find_user(UserId{0}));
  CHECK_FALSE(files.database().find_group("root"));
  CHECK(files.database().groups_with_member("root").empty());
}

TEST_CASE("the last line of passwd needs no newline") {
  const Files files("a:x:1:1::/a:\nb:x:2:2::/b:/bin/sh");
  CHECK(files.database().find_user("b")->shell == "/bin/sh");
}

TEST_CASE("carriage returns at the ends of lines are no part of a field") {
  const Files files("a:x:1:1::/a:/bin/sh\r\n", "g:x:5:a,b\r\n");
  CHECK(files.database().find_user("a")->shell == "/bin/sh");
  CHECK(files.database().groups_with_member("b") == std::vector<UserId>{5});
}

TEST_CASE("a user name that is a number is a name") {
  const Files files("1000:x:7:7::/seven:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n");
  CHECK(files.database().find_user("1000")->uid == 7);
  CHECK(files.database().find_user(UserId{1000})->name == "ann");
}

TEST_CASE("the first of several entries counts") {
  const Files files("a:x:1:1::/first:\na:x:2:2::/second:\nb:x:1:1::/third:\n");
  CHECK(files.database().find_user("a")->home == "/first");
  CHECK(files.database().find_user(UserId{1})->home == "/first");
}

TEST_CASE("all users are listed in the file's order") {
  const Files files("a:x:1:1::/a:\nnonsense\nb:x:2:2::/b:\n");
  std::vector<std::string> names;
  for (const UserEntry& user : files.database().users()) names.push_back(user.name);
  CHECK(names == std::vector<std::string>{"a", "b"});
}

TEST_CASE("lines that are not entries are skipped") {
  const Files files(
      "# a comment:x:1:1::/:\n\n:x:1:1::/:\n+nis::::::\n-nis:x:1:1::/:\nshort:x\nword:x:one:1::/:\n"
      "neg:x:-1:1::/:\nbig:x:4294967296:1::/:\nnone:x:4294967295:1::/:\nok:x:1:1::/ok:\n");
  CHECK(files.database().find_user(UserId{1})->name == "ok");
  for (const char* name : {"short", "word", "neg", "big", "none", "+nis", ""})
    CHECK_FALSE(files.database().find_user(name));
}

TEST_CASE("fields behind the group may be absent") {
  const Files files("a:x:1:2\n");
  CHECK(files.database().find_user("a")->gid == 2);
  CHECK(files.database().find_user("a")->home.empty());
}

TEST_CASE("an entry behind a million others is found") {
  std::string passwd;
  for (int i = 0; i < 1'000'000; ++i) passwd += "user" + std::to_string(i) + ":x:5:5::/:\n";
  const Files files(passwd + "last:x:77:78::/last:\n");
  CHECK(files.database().find_user(UserId{77})->name == "last");
}

TEST_CASE("a line longer than any buffer hides no other line") {
  const Files files("long:x:1:1:" + std::string(3 << 20, 'c') + ":/:\nnext:x:2:2::/next:\n");
  CHECK(files.database().find_user("next")->home == "/next");
  CHECK(files.database().find_user("long")->uid == 1);
}

TEST_CASE("bytes that are no text do no harm") {
  const Files files(std::string("\xff\xfe\0:x:1:1::/:\nok:x:2:2::/ok:\n", 28));
  CHECK(files.database().find_user("ok"));
}

TEST_CASE("a passwd that is a folder or a FIFO is an error, not a wait") {
  const Files files(std::nullopt);
  std::filesystem::create_directory(files.folder() / "passwd");
  CHECK_THROWS_AS(files.database().find_user("a"), Error);
  REQUIRE(::mkfifo((files.folder() / "group").c_str(), 0600) == 0);
  CHECK_THROWS_AS(files.database().find_group("a"), Error);
}

TEST_CASE("a user's groups are those that name it") {
  const Files files("", "root:x:0:\nvideo:x:44:ann,bob\nrender:x:105:bob , ann\nanna:x:7:anna\nvideo2:x:44:ann\n");
  CHECK(files.database().groups_with_member("ann") == std::vector<UserId>{44, 105});
  CHECK(files.database().find_group("render")->gid == 105);
  CHECK_FALSE(files.database().find_group("44"));
}

TEST_CASE("a user id is decimal and in range") {
  CHECK(parse_user_id("0") == UserId{0});
  CHECK(parse_user_id("4294967294") == UserId{4294967294});
  for (const char* text : {"", "-1", "4294967295", "4294967296", "99999999999999999999", "1a", " 1", "+1", "0x1"}) {
    CHECK_FALSE(parse_user_id(text));
  }
}

}  // namespace dstack::os
