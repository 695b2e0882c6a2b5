#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <map>

#include "common/os/file.h"
#include "common/server_api/settings.h"
#include "tests/support/temporary_directory.h"

namespace dstack::server_api {

namespace {

using Catch::Matchers::ContainsSubstring;

struct Home {
  test::TemporaryDirectory folder;
  SettingsFiles files{.own = folder / "config.yaml", .cli = folder / "config.yml"};
  std::map<std::string, std::string> variables;

  void own(const std::string& text, mode_t mode = 0600) { os::replace_file(files.own, text, mode); }
  void cli(const std::string& text, mode_t mode = 0600) { os::replace_file(files.cli, text, mode); }
  Settings resolve(const Given& given = {}) const {
    return server_api::resolve(given, files, [this](const char* name) {
      const auto found = variables.find(name);
      return found == variables.end() ? nullptr : found->second.c_str();
    });
  }
};

constexpr const char* kCli =
    "projects:\n"
    "- name: other\n  url: http://other\n  token: other-token\n  default: false\n"
    "- name: team\n  url: https://cli.example\n  token: cli-token\n  default: true\n";

int status_of(const std::function<void()>& what) {
  try {
    what();
  } catch (const CommandError& error) {
    return error.exit_status();
  }
  return 0;
}

}  // namespace

TEST_CASE("without anything there is a local server, project main and no token") {
  const Home home;
  const Settings settings = home.resolve();
  CHECK(settings.server.value == "http://127.0.0.1:3000");
  CHECK(settings.project.value == "main");
  CHECK(settings.token.empty());
  CHECK(status_of([&] { (void)settings.account(); }) == 78);
}

TEST_CASE("flags beat the environment, which beats our file, which beats the CLI's, value by value") {
  Home home;
  home.cli(kCli);
  CHECK(home.resolve().token.reveal() == "cli-token");
  CHECK(home.resolve().server.value == "https://cli.example");
  CHECK(home.resolve().project.value == "team");
  CHECK(home.resolve().project.origin == home.files.cli);
  CHECK(home.resolve({.project = "other"}).token.reveal() == "other-token");

  home.own("token: own-token\nserver: https://own.example/\nproject: mine\n");
  CHECK(home.resolve().token.reveal() == "own-token");
  CHECK(home.resolve().server.value == "https://own.example");

  home.variables = {{"DSTACK_TOKEN", "env-token"}, {"DSTACK_PROJECT", "env"}};
  CHECK(home.resolve().token.reveal() == "env-token");
  CHECK(home.resolve().project.origin == "DSTACK_PROJECT");
  CHECK(home.resolve({.token = "flag-token"}).token.reveal() == "flag-token");
  CHECK(home.resolve({.token = "flag-token"}).token_origin == "--token");
}

TEST_CASE("a token of a file is not sent to a server that the file does not name") {
  Home home;
  home.own("token: own-token\nserver: https://own.example\n");
  CHECK(status_of([&] { home.resolve({.server = "https://elsewhere.example"}); }) == 78);
  CHECK(status_of([&] { home.resolve({.token = "t", .server = "https://elsewhere.example"}); }) == 0);
  CHECK(status_of([&] { home.resolve({.server = "https://Own.Example:443/"}); }) == 0);
  home.variables = {{"DSTACK_SERVER_URL", "https://elsewhere.example"}};
  try {
    home.resolve();
    FAIL("no error");
  } catch (const CommandError& error) {
    CHECK(error.exit_status() == 78);
    CHECK_THAT(error.what(), ContainsSubstring("https://own.example"));
    CHECK_THAT(error.what(), !ContainsSubstring("own-token"));
  }
  Home other;
  other.cli(kCli);
  CHECK(status_of([&] { other.resolve({.server = "https://own.example"}); }) == 78);
}

TEST_CASE("a file that others may read is warned of with its mode") {
  Home home;
  home.own("token: t\nserver: http://h\n", 0644);
  REQUIRE(home.resolve().warnings.size() == 1);
  CHECK_THAT(home.resolve().warnings[0], ContainsSubstring("0644"));
  CHECK(home.resolve({.token = "x"}).warnings.empty());
  ::chmod(home.files.own.c_str(), 0600);
  CHECK(home.resolve().warnings.empty());
}

TEST_CASE("a URL that is none, and a file that is not YAML, are bad data") {
  Home home;
  for (const char* url : {"host:3000", "ftp://h", "http://", "http://h/?q", "http://user@h"})
    CHECK(status_of([&] { home.resolve({.server = url}); }) == 65);
  home.own("a: [\n");
  CHECK(status_of([&] { home.resolve(); }) == 65);
}

TEST_CASE("what is stored is readable by its owner only, and other keys stay") {
  const test::TemporaryDirectory folder;
  const auto file = folder / ".dstack" / "config.yaml";
  store(file, {.token = "t1", .server = "http://h", .project = "p"});
  struct stat status{};
  REQUIRE(::stat(file.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  REQUIRE(::stat(file.parent_path().c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0700);
  os::replace_file(file, os::read_file(file) + "mine: kept\n", 0644);
  store(file, {.name = "n1"});
  const std::string text = os::read_file(file);
  CHECK_THAT(text, ContainsSubstring("token: t1"));
  CHECK_THAT(text, ContainsSubstring("mine: kept"));
  CHECK_THAT(text, ContainsSubstring("name: n1"));
  REQUIRE(::stat(file.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
}

}  // namespace dstack::server_api
