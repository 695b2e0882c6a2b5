#include "runner/job/job_user.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>

#include "common/error.h"
#include "tests/support/temporary_directory.h"

namespace dstack::runner::job {

namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

class Image {
 public:
  Image() {
    std::filesystem::create_directory(home());
    std::ofstream(file()) << "file";
    std::ofstream(folder_ / "passwd") << "root:x:0:0::/root:/bin/sh\nann:x:1000:1001::" << home().string()
                                      << ":/bin/sh\nfile:x:1:1::" << file().string()
                                      << ":\nrelative:x:2:2::home/x:\nunset:x:3:3:::\nnobody:x:65534:65534::"
                                      << (folder_ / "nonexistent").string()
                                      << ":\nfuture:x:4:4::" << (folder_ / "later").string() << ":\n";
    std::ofstream(folder_ / "group") << "video:x:44:ann\nann:x:1001:\nstaff:x:50:ann,bob\n";
  }
  std::filesystem::path home() const { return folder_ / "ann"; }
  std::filesystem::path file() const { return folder_ / "file"; }
  std::filesystem::path later() const { return folder_ / "later"; }
  JobUser find(const std::optional<UserRequest>& request) const {
    return find_job_user(request, os::UserDatabase(folder_ / "passwd", folder_ / "group"));
  }

 private:
  test::TemporaryDirectory folder_;
};

UserRequest by_uid(std::int64_t uid) { return {.uid = uid, .username = {}, .gid = {}, .groupname = {}}; }
UserRequest by_name(std::string name) { return {.uid = {}, .username = std::move(name), .gid = {}, .groupname = {}}; }

}  // namespace

TEST_CASE("no request means root") {
  const JobUser user = Image().find(std::nullopt);
  CHECK(user.uid == 0);
  CHECK(user.name == "root");
  CHECK(user.home == "/root");
}

TEST_CASE("root has a name and a home where there is no passwd") {
  const JobUser user = find_job_user(std::nullopt, os::UserDatabase("/nonexistent/passwd", "/nonexistent/group"));
  CHECK(user.name == "root");
  CHECK(user.home == "/root");
}

TEST_CASE("a user has its primary and its other groups") {
  const Image image;
  for (const UserRequest& request : {by_uid(1000), by_name("ann")}) {
    const JobUser user = image.find(request);
    CHECK(user.uid == 1000);
    CHECK(user.gid == 1001);
    CHECK(user.groups == std::vector<os::UserId>{44, 50, 1001});
    CHECK(user.name == "ann");
    CHECK(user.home == image.home());
  }
}

TEST_CASE("a given group is the only one") {
  UserRequest request = by_name("ann");
  SECTION("by number") { request.gid = 50; }
  SECTION("by name") { request.groupname = "staff"; }
  const JobUser user = Image().find(request);
  CHECK(user.gid == 50);
  CHECK(user.groups == std::vector<os::UserId>{50});
}

TEST_CASE("a uid without an entry is in group 0 and called by its number") {
  const JobUser user = Image().find(by_uid(4242));
  CHECK(user.gid == 0);
  CHECK(user.groups == std::vector<os::UserId>{0});
  CHECK(user.name == "4242");
  CHECK(user.home == "/");
}

TEST_CASE("the largest uid is usable") { CHECK(Image().find(by_uid(4294967294)).name == "4294967294"); }

TEST_CASE("ids out of range are refused with the number") {
  for (const std::int64_t id :
       {std::int64_t{-1}, std::int64_t{4294967295}, std::int64_t{4294967296}, INT64_MIN, INT64_MAX}) {
    CHECK_THROWS_MATCHES(Image().find(by_uid(id)), Error, MessageMatches(ContainsSubstring(std::to_string(id))));
    UserRequest request = by_name("ann");
    request.gid = id;
    CHECK_THROWS_MATCHES(Image().find(request), Error, MessageMatches(ContainsSubstring(std::to_string(id))));
  }
}

TEST_CASE("unknown names are refused with the name") {
  CHECK_THROWS_MATCHES(Image().find(by_name("1000")), Error, MessageMatches(ContainsSubstring("no user \"1000\"")));
  UserRequest request = by_uid(1000);
  request.groupname = "wheel";
  CHECK_THROWS_MATCHES(Image().find(request), Error, MessageMatches(ContainsSubstring("no group \"wheel\"")));
  CHECK_THROWS_AS(Image().find(UserRequest{}), Error);
}

TEST_CASE("an unusable home becomes /") {
  const Image image;
  for (const char* name : {"file", "relative", "unset", "nobody"}) {
    CHECK(image.find(by_name(name)).home == "/");
    CHECK_FALSE(image.find(by_name(name)).has_home());
  }
}

TEST_CASE("a home that is not there yet stays one") {
  const Image image;
  CHECK(image.find(by_name("future")).home == image.later());
}

TEST_CASE("root is a user where no passwd has one") {
  const JobUser user = find_job_user(by_name("root"), os::UserDatabase("/nonexistent/passwd", "/nonexistent/group"));
  CHECK(user.uid == 0);
  CHECK(user.gid == 0);
  CHECK(user.name == "root");
  CHECK(user.home == "/root");
}

}  // namespace dstack::runner::job
