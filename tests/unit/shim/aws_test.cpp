#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

#include "common/command_error.h"
#include "common/os/file.h"
#include "common/yaml/document.h"
#include "shim/aws/account.h"
#include "tests/support/fake_dstack_server.h"
#include "tests/support/temporary_directory.h"

namespace dstack::shim::aws {

using Catch::Matchers::ContainsSubstring;
using nlohmann::json;
using test::FakeDstackServer;

namespace {

const Keys kKeys{.access_key_id = Secret("AKIA1234567890"),
                 .secret_access_key = Secret("very/secret+key"),
                 .regions = {"us-east-1", "eu-west-1"}};
const json kCreds = {{"type", "access_key"}, {"access_key", "AKIA1234567890"}, {"secret_key", "very/secret+key"}};
const std::string kInfo = "project/p/backends/aws/config_info";
const std::string kCreate = "project/p/backends/create";
const json kNotThere = FakeDstackServer::detail("Resource not found", "resource_not_exists");

const json kAnn = {{"id", "u1"}, {"username", "ann"}, {"global_role", "user"}};

json project(const json& backends) {
  const json boss = {{"id", "u2"}, {"username", "bea"}, {"global_role", "user"}};
  return {{"project_name", "p"},
          {"backends", backends},
          {"members", {{{"user", boss}, {"project_role", "admin"}}, {{"user", kAnn}, {"project_role", "user"}}}}};
}

struct Fixture {
  FakeDstackServer fake;
  std::ostringstream out;
  std::ostringstream talk;
  std::optional<std::filesystem::path> file;

  int run(const std::function<int(const AwsAccount&)>& command) {
    server_api::Client client(fake.account());
    return command(AwsAccount(client, ServerFile(file), out, talk));
  }
  int configure(bool show_secret = false) {
    return run([&](const AwsAccount& aws) { return aws.configure(kKeys, show_secret); });
  }
  std::pair<int, std::string> failure(const std::function<int(const AwsAccount&)>& command) {
    try {
      run(command);
    } catch (const CommandError& error) {
      CHECK_THAT(error.what(), !ContainsSubstring("very/secret+key") && !ContainsSubstring("AKIA1234567890"));
      return {error.exit_status(), error.what()};
    }
    return {0, "no failure"};
  }
  std::pair<int, std::string> configure_failure() {
    return failure([](const AwsAccount& aws) { return aws.configure(kKeys, false); });
  }
};

class NoInput {
 public:
  NoInput() : before_(::dup(STDIN_FILENO)) {
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::dup2(null, STDIN_FILENO);
    ::close(null);
  }
  NoInput(const NoInput&) = delete;
  NoInput& operator=(const NoInput&) = delete;
  ~NoInput() {
    ::dup2(before_, STDIN_FILENO);
    ::close(before_);
  }

 private:
  int before_;
};

int keys_status(
    const AwsCommand& command, const server_api::Environment& environment = [](const char*) { return nullptr; }) {
  const NoInput input;
  std::ostringstream talk;
  try {
    find_keys(command, talk, environment);
    return 0;
  } catch (const CommandError& error) {
    return error.exit_status();
  }
}

}  // namespace

TEST_CASE("aws configure: a backend that is missing is created with exactly these fields") {
  Fixture f;
  f.fake.set(kInfo, 400, kNotThere);
  f.fake.set(kCreate, 200, json::object());
  CHECK(f.configure() == 0);
  CHECK(f.fake.bodies(kCreate) ==
        std::vector<json>{{{"type", "aws"}, {"regions", {"us-east-1", "eu-west-1"}}, {"creds", kCreds}}});
  CHECK_THAT(f.out.str(), ContainsSubstring("AWS is configured for project p: us-east-1, eu-west-1\n"));
}

TEST_CASE("aws configure: one that is there gets other keys and regions and keeps the rest") {
  Fixture f;
  const json before = {{"type", "aws"},        {"regions", {"us-west-2"}}, {"vpc_name", "ours"},
                       {"tags", {{"a", "b"}}}, {"os_images", nullptr},     {"creds", {{"type", "default"}}}};
  f.fake.set(kInfo, 200, before);
  f.fake.set("project/p/backends/update", 200, json::object());
  CHECK(f.configure() == 0);
  json expected = before;
  expected["regions"] = {"us-east-1", "eu-west-1"};
  expected["creds"] = kCreds;
  CHECK(f.fake.bodies("project/p/backends/update") == std::vector<json>{expected});
  CHECK(f.fake.bodies(kCreate).empty());
}

TEST_CASE("aws configure: each refusal has its exit status, and no message has a key in it") {
  Fixture f;
  f.fake.set(kInfo, 400, kNotThere);
  const auto refused = [&](int status, const json& body) {
    f.fake.set(kCreate, status, body);
    return f.configure_failure();
  };
  using Result = std::pair<int, std::string>;
  CHECK(refused(400, FakeDstackServer::detail("Invalid credentials", "invalid_credentials")) ==
        Result{77, "AWS refuses these keys"});
  CHECK(refused(500, "Internal Server Error") == Result{69, "the server failed; is us-east-1, eu-west-1 right?"});
  CHECK(refused(400, FakeDstackServer::detail("Backend not available", "backend_not_available")) ==
        Result{1, "the server lacks AWS support: pip install \"dstack[aws]\""});
  CHECK(refused(422, {{"detail", {{{"loc", {"body", "creds"}}, {"msg", "bad very/secret+key of AKIA1234567890"}}}}}) ==
        Result{1, "creds: bad [hidden] of [hidden]"});
  f.fake.set("users/get_my_user", 200, kAnn);
  f.fake.set("projects/p/get", 200, project(json::array()));
  CHECK(refused(403, {{"detail", {{"msg", "Access denied"}}}}) ==
        Result{77, "ann may not configure backends in project p; its admins may: bea"});
  f.fake.set(kInfo, 400, FakeDstackServer::detail("Backend not available", "backend_not_available"));
  CHECK(f.configure_failure().second == "the server lacks AWS support: pip install \"dstack[aws]\"");
}

TEST_CASE("aws configure: the server's own file gets it too, with a copy of what was there") {
  const test::TemporaryDirectory folder;
  Fixture f;
  f.file = folder.path() / "config.yml";
  const std::string before = "projects:\n- name: p\n  backends: []\n";
  os::replace_file(*f.file, before, 0644);
  f.fake.set(kInfo, 400, kNotThere);
  f.fake.set(kCreate, 200, json::object());
  CHECK(f.configure() == 0);
  const json written = yaml::parse(os::read_file(*f.file), "f")["projects"][0]["backends"][0];
  CHECK(written == json{{"type", "aws"}, {"regions", {"us-east-1", "eu-west-1"}}, {"creds", kCreds}});
  CHECK(os::read_file(folder.path() / "config.yml.bak") == before);
  for (const char* name : {"config.yml", "config.yml.bak"}) {
    struct stat status{};
    REQUIRE(::stat((folder.path() / name).c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0600);
  }
  CHECK_THAT(f.talk.str(), ContainsSubstring("written to") && !ContainsSubstring("secret"));

  // Again: nothing to write.
  f.talk.str("");
  CHECK(f.configure() == 0);
  CHECK(f.talk.str().empty());
}

TEST_CASE(
    "aws configure: where the file cannot be rewritten, or is elsewhere, the lines are printed without the keys") {
  const test::TemporaryDirectory folder;
  Fixture f;
  f.fake.set(kInfo, 400, kNotThere);
  f.fake.set(kCreate, 200, json::object());
  SECTION("comments") {
    f.file = folder.path() / "config.yml";
    os::replace_file(*f.file, "projects: # ours\n- name: p\n", 0600);
    CHECK(f.configure() == 0);
    CHECK(os::read_file(*f.file) == "projects: # ours\n- name: p\n");
    CHECK_THAT(f.talk.str(), ContainsSubstring("has comments or anchors"));
  }
  SECTION("another project's") {
    f.file = folder.path() / "config.yml";
    os::replace_file(*f.file, "projects:\n- name: other\n", 0600);
    CHECK(f.configure() == 0);
  }
  SECTION("not YAML") {
    f.file = folder.path() / "config.yml";
    os::replace_file(*f.file, "projects: [", 0600);
    CHECK(f.configure() == 0);
    CHECK_THAT(f.talk.str(), ContainsSubstring("not written: "));
  }
  SECTION("on another machine") { CHECK(f.configure() == 0); }
  CHECK_THAT(f.talk.str(), ContainsSubstring("The server forgets this at its next start"));
  CHECK_THAT(f.out.str(), ContainsSubstring("- type: aws\n  regions:\n  - us-east-1\n"));
  CHECK_THAT(f.out.str() + f.talk.str(), !ContainsSubstring("very/secret+key") && !ContainsSubstring("AKIA1234567890"));
  f.out.str("");
  CHECK(f.configure(true) == 0);
  CHECK_THAT(f.out.str(), ContainsSubstring("secret_key: very/secret+key"));
}

TEST_CASE("aws show: regions and four letters of the key") {
  Fixture f;
  f.fake.set(kInfo, 200, {{"type", "aws"}, {"regions", {"us-east-1"}}, {"creds", kCreds}});
  CHECK(f.run([](const AwsAccount& aws) { return aws.show(false); }) == 0);
  CHECK(f.out.str() == "regions:     us-east-1\naccess key:  AKIA…\n");
  f.out.str("");
  CHECK(f.run([](const AwsAccount& aws) { return aws.show(true); }) == 0);
  CHECK(json::parse(f.out.str()) == json{{"regions", {"us-east-1"}}, {"access_key", "AKIA"}});
  f.fake.set(kInfo, 400, kNotThere);
  CHECK(f.failure([](const AwsAccount& aws) { return aws.show(false); }).first == 78);
}

TEST_CASE("aws remove: refused while there are rules or machines, then out of the server and out of its file") {
  const test::TemporaryDirectory folder;
  Fixture f;
  f.file = folder.path() / "config.yml";
  os::replace_file(*f.file, "projects:\n- name: p\n  backends:\n  - type: aws\n  - type: gcp\n", 0600);
  const auto remove = [](const AwsAccount& aws) { return aws.remove(); };
  f.fake.set("projects/p/get", 200, project(json::array({{{"name", "aws"}, {"config", json::object()}}})));
  const json rule = json::parse(R"({"id":"f1","name":"auto-m5-large-od","status":"active","instances":[],
    "spec":{"configuration":{"nodes":{"min":0,"max":2},"tags":{"dstack-autoscale":"m5.large/on-demand"}}}})");
  f.fake.set("project/p/fleets/list", 200, json::array({rule}));
  CHECK(f.failure(remove).first == 1);
  CHECK_THAT(f.failure(remove).second,
             ContainsSubstring("m5.large on-demand") && ContainsSubstring("autoscale remove"));
  CHECK(f.fake.bodies("project/p/backends/delete").empty());

  f.fake.set("project/p/fleets/list", 200, json::array());
  f.fake.set("project/p/backends/delete", 400,
             FakeDstackServer::detail("Backend aws has active instances. Delete instances before.", "error"));
  CHECK(f.failure(remove).first == 1);
  CHECK_THAT(f.failure(remove).second, ContainsSubstring("active instances"));

  f.fake.set("project/p/backends/delete", 200, json());
  CHECK(f.run(remove) == 0);
  CHECK(f.fake.bodies("project/p/backends/delete").back() == json{{"backends_names", {"aws"}}});
  CHECK(os::read_file(*f.file) == "projects:\n- name: p\n  backends:\n  - type: gcp\n");

  f.fake.set("projects/p/get", 200, project(json::array()));
  const std::size_t calls = f.fake.bodies("project/p/backends/delete").size();
  f.fake.set("users/get_my_user", 200, kAnn);
  CHECK(f.run(remove) == 0);
  CHECK(f.fake.bodies("project/p/backends/delete").size() == calls);
  f.fake.set("users/get_my_user", 200, {{"id", "u3"}, {"username", "bob"}, {"global_role", "user"}});
  CHECK(f.failure(remove) == std::pair(77, std::string("bob is no member of project p")));
}

TEST_CASE("aws configure: keys come from flags and from the environment, and what is missing is a usage error") {
  const auto environment = [](const char* name) -> const char* {
    const std::string_view wanted = name;
    if (wanted == "AWS_ACCESS_KEY_ID") return "AKIAENV";
    if (wanted == "AWS_SECRET_ACCESS_KEY") return "env-secret";
    return wanted == "AWS_REGION" ? "us-west-2" : nullptr;
  };
  std::ostringstream talk;
  const Keys keys =
      find_keys({.regions = {"eu-west-1,eu-west-2", "eu-west-1"}, .from_environment = true}, talk, environment);
  CHECK(keys.access_key_id.reveal() == "AKIAENV");
  CHECK(keys.secret_access_key.reveal() == "env-secret");
  CHECK(keys.regions == std::vector<std::string>{"eu-west-1", "eu-west-2"});
  CHECK(find_keys({.from_environment = true}, talk, environment).regions == std::vector<std::string>{"us-west-2"});

  CHECK(keys_status({}) == 64);
  CHECK(keys_status({.from_environment = true}) == 64);
  CHECK(keys_status({.access_key_id = "AKIA", .regions = {"us-east-1"}}) == 64);
  CHECK(keys_status({.access_key_id = "AKIA", .secret_access_key = "on-the-command-line", .regions = {"us-east-1"}}) ==
        64);
  for (const char* region : {"nowhere", "us-east", "us-east-1a", "US-EAST-1", "us-east-1/../x"})
    CHECK(keys_status({.regions = {region}, .from_environment = true}, environment) == 65);
  CHECK(keys_status({.regions = {"us-gov-west-1"}, .from_environment = true}, environment) == 0);
}

}  // namespace dstack::shim::aws
