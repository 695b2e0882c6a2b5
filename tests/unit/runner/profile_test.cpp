#include "runner/job/profile.h"

#include <sys/stat.h>
#include <catch2/catch_test_macros.hpp>
#include <fstream>

#include "common/os/command.h"
#include "common/os/file.h"
#include "tests/support/temporary_directory.h"

namespace dstack::runner::job {

namespace {

ProfilePlaces places_in(const test::TemporaryDirectory& folder) {
  return {.profile = folder / "profile",
          .hook = folder / "etc-profile",
          .variables = folder / "environment",
          .user = folder / "user"};
}

}  // namespace

TEST_CASE("a shell that reads the profile has every value as it was") {
  const test::TemporaryDirectory folder;
  const Environment environment{{"A", "it's \"quoted\" $HOME `id` \\ !"},
                                {"B", "two\nlines\n"},
                                {"C", "\xff\xfe\t"},
                                {"DSTACK_WORKING_DIR", "/"},
                                {"E", ""}};
  write_profile(environment, places_in(folder));
  const auto result =
      os::run_command({.arguments = {"/bin/sh", "-c", R"(. "$1"; pwd; printf '%s|' "$A" "$B" "$C" "$E")", "sh",
                                     (folder / "profile").string()},
                       .environment = std::vector<std::string>{"PATH=/usr/bin:/bin"},
                       .input = {}});
  CHECK(result.errors.empty());
  CHECK(result.output == "/\n" + environment.at("A") + "|" + environment.at("B") + "|" + environment.at("C") + "||");
}

TEST_CASE("what a login sets itself and what no shell accepts is not in the profile") {
  CHECK(profile_text({{"HOME", "/x"}, {"USER", "x"}, {"PWD", "/"}, {"_", "x"}, {"a-b", "x"}, {"OK", "1"}}) ==
        "export OK='1'\ncd \"$DSTACK_WORKING_DIR\"\n");
}

TEST_CASE("the variables for ssh commands keep names that no shell accepts") {
  CHECK(variables_text({{"HOME", "/x"}, {"a-b", "x\ny"}, {"B", ""}}) == std::string("B=\0a-b=x\ny\0", 11));
}

TEST_CASE("the hook keeps what the file has and is added once") {
  const test::TemporaryDirectory folder;
  const ProfilePlaces places = places_in(folder);
  std::ofstream(places.hook) << "umask 022";
  write_profile({}, places);
  write_profile({}, places);
  CHECK(os::read_file(places.hook) == "umask 022\n. '" + places.profile.string() + "'\n");
}

TEST_CASE("everybody may read the profile, whatever the umask") {
  const test::TemporaryDirectory folder;
  const mode_t before = ::umask(077);
  write_profile({}, places_in(folder));
  ::umask(before);
  for (const auto& path : {places_in(folder).profile, places_in(folder).hook, places_in(folder).variables}) {
    struct stat status{};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0644);
  }
}

TEST_CASE("the SSH server is told the groups of the job's user") {
  const test::TemporaryDirectory folder;
  const ProfilePlaces places = places_in(folder);
  write_login_groups({.uid = 4242, .gid = 7, .groups = {5, 7}, .name = "4242"}, places);
  CHECK(os::read_file(places.user) == "4242\n7\n2\n5\n7\n");
}

}  // namespace dstack::runner::job
