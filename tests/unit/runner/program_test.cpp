#include "runner/job/program.h"

#include <sys/stat.h>
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

void make_file(const std::filesystem::path& path, mode_t mode) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << "#!/bin/sh\n";
  REQUIRE(::chmod(path.c_str(), mode) == 0);
}

}  // namespace

TEST_CASE("a command is the first executable file of that name in PATH") {
  const test::TemporaryDirectory folder;
  std::filesystem::create_directories(folder / "one/tool");
  make_file(folder / "two/tool", 0644);
  make_file(folder / "three/tool", 0755);
  make_file(folder / "four/tool", 0755);
  const std::string at = folder.path().string();
  CHECK(resolve_command("tool", {{"PATH", at + "/none:" + at + "/one:" + at + "/two:" + at + "/three:" + at +
                                              "/four"}}) == folder / "three/tool");
}

TEST_CASE("a command with a slash is taken as it is") {
  CHECK(resolve_command("./x", {}) == "./x");
  CHECK(resolve_command("/no/such", {}) == "/no/such");
}

TEST_CASE("without a PATH the usual folders are searched") {
  CHECK(resolve_command("sh", {}).filename() == "sh");
  CHECK(resolve_command("sh", {{"PATH", ""}}).filename() == "sh");
}

TEST_CASE("relative folders in PATH lead nowhere") {
  CHECK_THROWS_AS(resolve_command("sh", {{"PATH", ":.:bin"}}), Error);
}

TEST_CASE("a command that is not there is named with the PATH") {
  CHECK_THROWS_MATCHES(resolve_command("no-such", {{"PATH", "/a:/b"}}), Error,
                       MessageMatches(ContainsSubstring("\"no-such\"") && ContainsSubstring("\"/a:/b\"")));
  CHECK_THROWS_AS(resolve_command("", {}), Error);
}

TEST_CASE("a command that is not there is told from one that cannot be executed") {
  const test::TemporaryDirectory folder;
  make_file(folder / "tool", 0644);
  const auto reason = [&folder](const std::string& name) {
    try {
      resolve_command(name, {{"PATH", folder.path().string()}});
    } catch (const CannotExecute& error) {
      return error.reason();
    }
    throw std::logic_error("it was found");
  };
  CHECK(reason("tool") == CannotExecute::Reason::not_executable);
  CHECK(reason("no-such") == CannotExecute::Reason::not_found);
}

TEST_CASE("a file that may not be executed is named with the reason") {
  const test::TemporaryDirectory folder;
  make_file(folder / "tool", 0644);
  CHECK_THROWS_MATCHES(
      resolve_command("tool", {{"PATH", folder.path().string()}}), Error,
      MessageMatches(ContainsSubstring((folder / "tool").string()) && ContainsSubstring("Permission denied")));
}

}  // namespace dstack::runner::job
