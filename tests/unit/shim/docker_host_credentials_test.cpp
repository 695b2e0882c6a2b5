#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <thread>

#include "common/error.h"
#include "common/os/file.h"
#include "common/os/signals.h"
#include "common/text/base64.h"
#include "shim/docker/credential_helper.h"
#include "shim/docker/docker_config.h"
#include "shim/docker/host_credentials.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_tools.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace dstack::shim::docker;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

std::string server_of(const std::string& image) { return parse_image_reference(image).server_address(); }

std::string auth(const std::string& pair) { return R"({"auth":")" + text::base64(pair) + "\"}"; }

// What a helper prints.
std::string login(const std::string& user, const std::string& secret) {
  return R"({"ServerURL":"x","Username":")" + user + R"(","Secret":")" + secret + "\"}";
}

struct Fixture {
  test::TemporaryDirectory folder;
  test::FakeTools tools;
  HostCredentials credentials{folder / "config.json"};

  Fixture() { os::ignore_broken_pipes(); }

  void configure(const std::string& text) { os::replace_file(folder / "config.json", text, 0600); }
  HostCredentials::Found find(const std::string& image) { return credentials.find(parse_image_reference(image), {}); }
};

}  // namespace

TEST_CASE("a login is found by the image's registry, as docker pull does it") {
  const DockerConfig config = parse_docker_config(R"({"auths": {
      "https://index.docker.io/v1/": )" + auth("hub:1") +
                                                  R"(, "docker.io": )" + auth("wrong:1") + R"(, "r.example:5000": )" +
                                                  auth("port:1") + R"(, "https://r.example/v2/": )" + auth("url:1") +
                                                  R"(, "http://plain.example": )" + auth("plain:1") + "}}");
  const auto user = [&](const std::string& image) {
    const auto found = config.find_login(server_of(image));
    return found ? found->username : "none";
  };
  CHECK(user("python:3") == "hub");
  CHECK(user("docker.io/library/python") == "hub");
  CHECK(user("index.docker.io/team/app") == "hub");
  CHECK(user("r.example:5000/x") == "port");
  CHECK(user("r.example/x") == "url");
  CHECK(user("plain.example/x") == "plain");
  CHECK(user("r.example:5001/x") == "none");
  CHECK(user("sub.r.example/x") == "none");
}

TEST_CASE("logins are a user and password, or a token") {
  const DockerConfig config = parse_docker_config(
      R"({"auths": {"a": )" + auth("user:pa:ss") + R"(, "b": {"identitytoken": "token", "auth": ")" +
      text::base64("u:") + R"("}, "c": {"registrytoken": "bearer"}, "d": {"username": "u", "password": "p"}, "e": )" +
      auth(std::string("u:p\0\0", 5)) + R"(, "broken": {"auth": "%%%"}, "no-colon": )" + auth("user") +
      R"(, "no-user": )" + auth(":p") + R"(, "number": 5, "empty": {}}})");
  CHECK(config.find_login("a")->username == "user");
  CHECK(config.find_login("a")->password.reveal() == "pa:ss");
  CHECK(config.find_login("b")->identity_token.reveal() == "token");
  CHECK(config.find_login("c")->registry_token.reveal() == "bearer");
  CHECK(config.find_login("d")->password.reveal() == "p");
  CHECK(config.find_login("e")->password.reveal() == "p");
  // One that cannot be read costs no other.
  for (const char* bad : {"broken", "no-colon", "no-user", "number", "empty"}) CHECK_FALSE(config.find_login(bad));
}

TEST_CASE("a configuration that is not JSON is refused without its text") {
  const std::string text = GENERATE("", "marked", "[1]", R"({"auths": {"a": {"auth": "marked")");
  try {
    parse_docker_config(text);
    FAIL("it was taken");
  } catch (const Error& error) {
    CHECK_THAT(error.what(), !ContainsSubstring("marked"));
  }
}

TEST_CASE("the configuration is where Docker has it") {
  ::setenv("DOCKER_CONFIG", "/etc/docker-logins", 1);
  CHECK(docker_config_file() == "/etc/docker-logins/config.json");
  ::setenv("DOCKER_CONFIG", "", 1);
  ::setenv("HOME", "/home/user", 1);
  CHECK(docker_config_file() == "/home/user/.docker/config.json");
  ::unsetenv("DOCKER_CONFIG");
  ::unsetenv("HOME");
  CHECK(docker_config_file().string().ends_with("/.docker/config.json"));
}

TEST_CASE_METHOD(Fixture, "without a configuration there are no logins, and that is not a problem") {
  CHECK_FALSE(find("r.example/x").credentials);
  CHECK(find("r.example/x").problem.empty());
}

TEST_CASE_METHOD(Fixture, "a registry's own helper comes before the default one, and both before the file") {
  configure(R"({"credsStore": "default", "credHelpers": {"ecr.example": "ecr", "file.example": ""}, "auths": {
      "ecr.example": )" +
            auth("file:1") + R"(, "other.example": )" + auth("file:1") + R"(, "file.example": )" + auth("file:1") +
            "}}");
  tools.add("docker-credential-ecr", "cat > \"$STATE/asked\"; echo '" + login("of-ecr", "1") + "'");
  tools.add("docker-credential-default", "cat > \"$STATE/asked\"; echo '" + login("<token>", "secret") + "'");
  CHECK(find("ecr.example/x").credentials->username == "of-ecr");
  CHECK(os::read_file(tools.state() / "asked") == "ecr.example");
  CHECK(tools.last_arguments("docker-credential-ecr") == "get");
  const auto token = find("other.example/x").credentials;
  CHECK(token->identity_token.reveal() == "secret");
  CHECK(token->password.empty());
  CHECK(find("python").credentials);
  CHECK(os::read_file(tools.state() / "asked") == "https://index.docker.io/v1/");
  CHECK(find("file.example/x").credentials->username == "file");
}

TEST_CASE_METHOD(Fixture, "a helper that has no login is not a problem") {
  configure(R"({"credsStore": "store"})");
  tools.add("docker-credential-store", "cat >/dev/null; echo 'credentials not found in native keychain'; exit 1");
  CHECK_FALSE(find("r.example/x").credentials);
  CHECK(find("r.example/x").problem.empty());
}

TEST_CASE_METHOD(Fixture, "what is wrong with a helper is said, and nothing that may be a secret") {
  configure(R"({"credsStore": "store"})");
  const auto problem = [&] {
    const auto found = find("r.example/x");
    CHECK_FALSE(found.credentials);
    return found.problem;
  };
  CHECK_THAT(problem(), ContainsSubstring("docker-credential-store"));  // there is none
  tools.add("docker-credential-store", "cat >/dev/null; echo 'error: no session'; exit 1");
  CHECK_THAT(problem(), ContainsSubstring("docker-credential-store for the login to \"r.example\"") &&
                            ContainsSubstring("exited with status 1") && ContainsSubstring("error: no session"));
  tools.add("docker-credential-store", "cat >/dev/null; echo '" + login("u", "marked") + "'; exit 1");
  CHECK_THAT(problem(), ContainsSubstring("exited with status 1") && !ContainsSubstring("marked"));
  tools.add("docker-credential-store", "cat >/dev/null; echo '{\"Secret\": marked'");
  CHECK_THAT(problem(), ContainsSubstring("has no secret") && !ContainsSubstring("marked"));
  configure(R"({"credsStore": "../../bin/sh"})");
  CHECK_THAT(problem(), ContainsSubstring("invalid name of a credential helper"));
  configure(R"({"auths": )");
  CHECK_THAT(problem(), ContainsSubstring((folder / "config.json").string()));
}

TEST_CASE_METHOD(Fixture, "a helper that hangs is given up") {
  configure(R"({"credsStore": "store"})");
  tools.add("docker-credential-store", "touch \"$STATE/hangs\"; exec sleep 1000");
  test::FakeClock clock;
  const HostCredentials hanging(folder / "config.json", clock);
  auto found = std::async(std::launch::async, [&] { return hanging.find(parse_image_reference("r.example/x"), {}); });
  while (!std::filesystem::exists(tools.state() / "hangs")) std::this_thread::yield();
  clock.advance_until_ready(found);
  CHECK_THAT(found.get().problem, ContainsSubstring("gave no answer in time"));
}

TEST_CASE_METHOD(Fixture, "a stop ends the wait for a helper") {
  configure(R"({"credsStore": "other"})");
  tools.add("docker-credential-other", "exec sleep 1000");
  std::stop_source stop;
  std::optional<ErrorKind> kind;
  const HostCredentials cancelled(folder / "config.json");
  std::jthread stopped([&] {
    try {
      cancelled.find(parse_image_reference("r.example/x"), stop.get_token());
    } catch (const Error& error) {
      kind = error.kind();
    }
  });
  stop.request_stop();
  stopped.join();
  CHECK(kind == ErrorKind::cancelled);
}
