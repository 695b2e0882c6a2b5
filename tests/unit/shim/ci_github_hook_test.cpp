#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/os/file.h"
#include "shim/ci/github/agent_work.h"
#include "shim/ci/github/container_request.h"
#include "shim/ci/github/create_options.h"
#include "shim/ci/github/docker_values.h"
#include "shim/ci/github/hook_request.h"
#include "shim/ci/github/image_environment.h"
#include "shim/ci/github/job_folder.h"
#include "tests/support/temporary_directory.h"

namespace dstack::shim::ci::github {

using Catch::Matchers::ContainsSubstring;
using Json = nlohmann::json;
using Strings = std::vector<std::string>;

namespace {

// As the agent sends it: everything that it has nothing for is null.
const char* const kPrepare =
    R"({"command": "prepare_job", "responseFile": "/w/_temp/answer.json", "state": {}, "args": {
  "container": {
    "image": "ghcr.io/team/app:1", "dockerfile": null, "entryPointArgs": ["-f", "/dev/null"], "entryPoint": "tail",
    "workingDirectory": "/__w/p/p", "createOptions": "--cpus 1", "environmentVariables": {"A": "1", "N": null},
    "registry": {"username": "me", "password": "secret", "serverUrl": "ghcr.io"},
    "portMappings": ["8080:80", "80", "53:53/udp"],
    "systemMountVolumes": [
      {"userProvidedValue": null, "sourceVolumePath": "/var/run/docker.sock", "targetVolumePath": "/var/run/docker.sock", "readOnly": false},
      {"userProvidedValue": null, "sourceVolumePath": "/w", "targetVolumePath": "/__w", "readOnly": false}],
    "userMountVolumes": [
      {"userProvidedValue": "/x", "sourceVolumePath": null, "targetVolumePath": "/x", "readOnly": false},
      {"userProvidedValue": "v:/y:ro", "sourceVolumePath": "v", "targetVolumePath": "/y", "readOnly": true}]},
  "services": [{
    "image": "redis", "dockerfile": null, "entryPointArgs": [], "entryPoint": null, "workingDirectory": null,
    "createOptions": null, "environmentVariables": {}, "registry": null, "portMappings": [], "systemMountVolumes": [],
    "userMountVolumes": [], "contextName": "cache"}]}})";

std::string refusal_of(const Json& request) {
  try {
    parse_hook_request(request.dump());
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::string options_refusal(std::string_view text, bool privileged = false) {
  try {
    parse_create_options(text, privileged);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// The environment of an agent whose work folder is `work`.
class AgentVariables {
 public:
  explicit AgentVariables(const std::filesystem::path& work) {
    ::setenv("RUNNER_TEMP", (work / "_temp").c_str(), 1);
    ::setenv("GITHUB_WORKSPACE", (work / "p/p").c_str(), 1);
  }
  AgentVariables(const AgentVariables&) = delete;
  AgentVariables& operator=(const AgentVariables&) = delete;
  ~AgentVariables() {
    ::unsetenv("RUNNER_TEMP");
    ::unsetenv("GITHUB_WORKSPACE");
  }
};

struct Requests {
  ContainerFlags flags;
  AgentWork work;
  JobNames names{"test", "1"};
  GpuBudget gpus;

  ContainerRequest make(const HookContainer& container, Use use = Use::job) {
    gpus.limit = flags.gpus == "all" ? -1 : std::atoi(flags.gpus.c_str());
    const CreateOptions options = parse_create_options(container.create_options, flags.privileged);
    return container_request({flags, work, names}, use, "job", container, options, gpus);
  }
};

}  // namespace

TEST_CASE("a hook's request is read as the agent sends it") {
  const HookRequest request = parse_hook_request(kPrepare);
  CHECK(request.command == HookCommand::prepare_job);
  CHECK(request.response_file == "/w/_temp/answer.json");
  CHECK_FALSE(request.has_state);
  REQUIRE(request.container);
  const HookContainer& container = *request.container;
  CHECK(container.image == "ghcr.io/team/app:1");
  CHECK(container.entrypoint == "tail");
  CHECK(container.arguments == Strings{"-f", "/dev/null"});
  CHECK(container.environment == std::map<std::string, std::string>{{"A", "1"}});
  REQUIRE(container.login);
  CHECK(container.login->username == "me");
  CHECK(container.login->password.reveal() == "secret");
  REQUIRE(container.ports.size() == 3);
  CHECK((container.ports[0].host == 8080 && container.ports[0].container == 80));
  CHECK((container.ports[1].host == 0 && container.ports[1].container == 80));
  CHECK(container.ports[2].protocol == "udp");
  REQUIRE(container.system_mounts.size() == 2);
  REQUIRE(container.user_mounts.size() == 2);
  CHECK(container.user_mounts[0].source.empty());
  CHECK((container.user_mounts[1].source == "v" && container.user_mounts[1].read_only));
  REQUIRE(request.services.size() == 1);
  CHECK(request.services[0].context_name == "cache");
  CHECK_FALSE(request.services[0].login);
}

TEST_CASE("the words of a step's command line were split at every blank") {
  const HookRequest request = parse_hook_request(R"({"command": "run_script_step", "state": {"job": "ci-1"}, "args": {
    "entryPoint": "bash", "entryPointArgs": ["-c", "'echo", "\"a", "b\"'", "/__w/x\\", "y.sh"],
    "prependPath": ["/a", "/b"], "workingDirectory": "/w", "environmentVariables": {"X": ""}}})");
  CHECK(request.step.arguments == Strings{"-c", "echo \"a b\"", "/__w/x y.sh"});
  CHECK(request.step.prepend_path == Strings{"/a", "/b"});
  CHECK(request.has_state);
  CHECK(request.state_job == "ci-1");
}

TEST_CASE("what a hook cannot do is refused by its name") {
  CHECK_THAT(refusal_of({{"command", "prepare"}}), ContainsSubstring("command: \"prepare\""));
  CHECK_THAT(refusal_of(Json::object()), ContainsSubstring("command"));
  CHECK_THAT(refusal_of({{"command", "cleanup_job"}, {"state", "x"}}), ContainsSubstring("state"));
  CHECK_THAT(refusal_of({{"command", "cleanup_job"}, {"args", 1}}), ContainsSubstring("args"));
  CHECK_THAT(refusal_of({{"command", "run_script_step"}}), ContainsSubstring("args.entryPoint"));
  CHECK_THAT(refusal_of({{"command", "run_container_step"}, {"args", {{"image", ""}}}}),
             ContainsSubstring("args.image"));
  CHECK(refusal_of({{"command", "run_container_step"}, {"args", {{"dockerfile", "/x/Dockerfile"}}}}).empty());
  CHECK_THAT(refusal_of({{"command", "prepare_job"}, {"args", {{"services", {{{"image", nullptr}}}}}}}),
             ContainsSubstring("args.services[0].image"));
  CHECK(refusal_of({{"command", "prepare_job"}}).empty());
  CHECK_THROWS(parse_hook_request(""));
  CHECK_THROWS(parse_hook_request("[]"));
}

TEST_CASE("sizes and durations are as Docker's command line has them") {
  CHECK(parse_docker_size("100") == 100);
  CHECK(parse_docker_size("1b") == 1);
  CHECK(parse_docker_size("512m") == std::uint64_t{512} << 20);
  CHECK(parse_docker_size("1.5GB") == std::uint64_t{3} << 29);
  CHECK(parse_docker_size("2GiB") == std::uint64_t{2} << 30);
  CHECK(parse_docker_size("2T") == std::uint64_t{2} << 40);
  for (const char* wrong : {"", "g", "-1", "1x", "1 g", "1gg", "1.2.3g", "1e3", "inf", "9999999p", "bb1"}) {
    CAPTURE(wrong);
    CHECK(parse_docker_size(wrong) == std::nullopt);
  }
  CHECK(parse_docker_duration("10s") == 10);
  CHECK(parse_docker_duration("1m30s") == 90);
  CHECK(parse_docker_duration("1.5h") == 5400);
  CHECK(parse_docker_duration("500ms") == 0.5);
  CHECK(parse_docker_duration("0") == 0);
  for (const char* wrong : {"", "10", "s", "1d", "-1s", "1 s", "1s1"}) {
    CAPTURE(wrong);
    CHECK(parse_docker_duration(wrong) == std::nullopt);
  }
  CHECK(parse_docker_decimal("1.5") == 1.5);
  CHECK(parse_docker_decimal("1,5") == std::nullopt);
}

TEST_CASE("options of a workflow are read in all their forms") {
  const CreateOptions options = parse_create_options(
      "--gpus all --cpus=1.5 -m 1g --shm-size 64m -e A=1 -eB=2 -e=C=3 --env D='x y' -e NOT_OURS -u 1:2 -w /w -h box "
      "--name one --network-alias two --health-cmd \"pg_isready -U 'a b'\" --health-interval 1m --health-retries 3 "
      "--health-timeout=5s --health-start-period 1s --health-start-interval 100ms --entrypoint '' "
      "--ulimit nofile=1:2 --ulimit core=-1 --tmpfs /t:size=1m --tmpfs /u --add-host a:10.0.0.1 --add-host=b=::1 "
      "-l team=ml --label bare --init --pull always",
      false);
  CHECK(options.gpus == -1);
  CHECK(options.cpus == 1.5);
  CHECK(options.memory == std::uint64_t{1} << 30);
  CHECK(options.shm_size == std::uint64_t{64} << 20);
  CHECK(options.environment == std::map<std::string, std::string>{{"A", "1"}, {"B", "2"}, {"C", "3"}, {"D", "x y"}});
  CHECK(options.user == "1:2");
  CHECK(options.working_dir == "/w");
  CHECK(options.hostname == "box");
  CHECK(options.aliases == Strings{"one", "two"});
  CHECK(options.entrypoint == "");
  CHECK(options.health == Json::parse(R"({"test": "pg_isready -U 'a b'", "interval": 60.0, "retries": 3, "timeout": 5.0,
                                          "start_period": 1.0, "start_interval": 0.1})"));
  CHECK(options.ulimits == Json::parse(R"([{"Name": "nofile", "Soft": 1, "Hard": 2},
                                           {"Name": "core", "Soft": -1, "Hard": -1}])"));
  CHECK(options.tmpfs == Json::parse(R"({"/t": "size=1m", "/u": ""})"));
  CHECK(options.hosts == Json::parse(R"({"a": "10.0.0.1", "b": "::1"})"));
  CHECK(options.labels == Json::parse(R"({"team": "ml", "bare": ""})"));
  CHECK(options.init);
  CHECK(options.pull == "always");
  CHECK(parse_create_options("--health-cmd x --no-healthcheck", false).health == Json{{"none", true}});
  CHECK(parse_create_options("--init=false", false).init == false);
  CHECK(parse_create_options("", false).gpus == std::nullopt);
}

TEST_CASE("an option that a container does not get here fails the job") {
  for (const char* text : {"--network host", "-v /:/x", "--volume=/:/x", "--device /dev/x", "-it", "--rm", "--pid=host",
                           "--security-opt x", "--cap-drop ALL", "word", "--mount type=bind", "-p 80:80"}) {
    CAPTURE(text);
    const std::string name = std::string(text).substr(0, std::string_view(text).find_first_of("= "));
    const std::string expected = name == "-it" ? "-i" : name;
    CHECK(options_refusal(text) == std::format("option {} is not supported here", expected));
  }
  CHECK(options_refusal("--privileged") == "option --privileged is not supported here");
  CHECK(options_refusal("--cap-add X") == "option --cap-add is not supported here");
  CHECK(options_refusal("--privileged --cap-add X", true).empty());
  for (const char* text :
       {"--gpus device=0", "--gpus -1", "--gpus -2", "--cpus x", "-m lots", "--ulimit nofile", "--ulimit a=1:2:3",
        "--add-host x", "--pull newer", "--health-interval 5", "--init=maybe", "--env =x", "--label ''"}) {
    CAPTURE(text);
    CHECK_THAT(options_refusal(text), ContainsSubstring("invalid value"));
  }
  CHECK_THAT(options_refusal("--cpus"), ContainsSubstring("--cpus needs a value"));
  CHECK_THAT(options_refusal("--user 'x"), ContainsSubstring("quote"));
}

TEST_CASE("a job gets the launcher's limits, or less") {
  Requests requests;
  requests.flags.cpus = 2;
  requests.flags.memory = 1 << 30;
  requests.flags.shm_size = 1 << 20;
  const ContainerRequest plain = requests.make({.image = "a"});
  CHECK((plain.cpus == 2 && plain.memory == 1 << 30 && plain.shm_size == 1 << 20));
  const ContainerRequest more = requests.make({.image = "a", .create_options = "--cpus 3 -m 2g --shm-size 2m"});
  CHECK((more.cpus == 2 && more.memory == 1 << 30 && more.shm_size == 1 << 20));
  const ContainerRequest less = requests.make({.image = "a", .create_options = "--cpus 1 -m 1m --shm-size 1k"});
  CHECK((less.cpus == 1 && less.memory == 1 << 20 && less.shm_size == 1024));
  // 0 is no limit.
  CHECK(requests.make({.image = "a", .create_options = "-m 0"}).memory == 1 << 30);
  const ContainerRequest service = requests.make({.image = "a"}, Use::service);
  CHECK((service.cpus == 0 && service.memory == 0 && service.shm_size == 0));
  CHECK(requests.make({.image = "a", .create_options = "-m 2g"}, Use::service).memory == 1 << 30);
}

TEST_CASE("the containers of a job have no more GPUs together than the launcher gives") {
  Requests requests;
  CHECK(requests.make({.image = "a"}).gpus == 0);
  CHECK_THROWS_WITH(requests.make({.image = "a", .create_options = "--gpus all"}), ContainsSubstring("--gpus"));
  CHECK_THROWS_WITH(requests.make({.image = "a", .create_options = "--gpus 1"}), ContainsSubstring("--gpus"));
  requests.flags.gpus = "4";
  CHECK(requests.make({.image = "a"}, Use::service).gpus == 0);
  CHECK(requests.make({.image = "a", .create_options = "--gpus 1"}, Use::service).gpus == 1);
  CHECK_THROWS_WITH(requests.make({.image = "a", .create_options = "--gpus 4"}), ContainsSubstring("--gpus"));
  CHECK(requests.make({.image = "a"}).gpus == 3);
  CHECK(requests.make({.image = "a"}, Use::step).gpus == 0);
  Requests all;
  all.flags.gpus = "all";
  CHECK(all.make({.image = "a", .create_options = "--gpus 2"}, Use::service).gpus == 2);
  CHECK(all.make({.image = "a"}).gpus == -1);
  CHECK(all.make({.image = "a"}).shm_size == 1 << 30);
}

TEST_CASE("a container is privileged where the launcher's flag says so") {
  Requests requests;
  CHECK_FALSE(requests.make({.image = "a"}).privileged);
  requests.flags.privileged = true;
  const ContainerRequest request = requests.make({.image = "a", .create_options = "--privileged --cap-add NET_ADMIN"});
  CHECK(request.privileged);
  CHECK(request.container["cap_add"] == Json{"NET_ADMIN"});
}

TEST_CASE("a container's variables are the workflow's, its options' and the CI's own") {
  Requests requests;
  const ContainerRequest request = requests.make(
      {.image = "a", .create_options = "-e A=option -e B=option -e CI=no", .environment = {{"A", "workflow"}}});
  CHECK(request.container["env"] == Json{{"A", "workflow"}, {"B", "option"}, {"CI", "no"}, {"GITHUB_ACTIONS", "true"}});
  CHECK(request.container["pull"] == "newer");
}

TEST_CASE("a login is sent to the registry that it is for") {
  Requests requests;
  const auto login_for = [&](const char* image, const char* server) {
    HookContainer container{.image = image};
    container.login = RegistryLogin{.registry = server, .username = "me", .password = Secret("p")};
    return requests.make(container).login.has_value();
  };
  CHECK(login_for("ghcr.io/team/app", "ghcr.io"));
  CHECK(login_for("team/app", "https://index.docker.io/v1/"));
  CHECK(login_for("ghcr.io/team/app", ""));
  CHECK_FALSE(login_for("evil.example/team/app", "ghcr.io"));
}

TEST_CASE("mounts of the host are the agent's own and those below the allowed folders") {
  const test::TemporaryDirectory folder;
  namespace fs = std::filesystem;
  fs::create_directories(folder / "work/_temp");
  fs::create_directories(folder / "work/p/p");
  fs::create_directories(folder / "data/set");
  fs::create_directory_symlink("/etc", folder / "data/out");
  fs::create_directory_symlink("/etc", folder / "work/out");
  const AgentVariables variables(folder / "work");
  Requests requests;
  requests.work = find_agent_work();
  requests.flags.allowed_volumes = {(folder / "data").string()};
  requests.flags.volumes = {"/models:/models:ro", "cache:/cache"};

  const auto mounts_of = [&](HookContainer container) { return requests.make(container).container; };
  const std::string set = (folder / "data/set").string();
  const Json made = mounts_of({.image = "a",
                               .system_mounts = {{.source = "/var/run/docker.sock", .target = "/var/run/docker.sock"},
                                                 {.source = (folder / "work").string(), .target = "/__w"},
                                                 {.source = "/externals", .target = "/__e", .read_only = true}},
                               .user_mounts = {{.source = set, .target = "/set", .read_only = true},
                                               {.source = "cache", .target = "/other"},
                                               {.source = "", .target = "/nameless"}}});
  CHECK(made["mounts"] ==
        Json::array({Json{{"source", "/models"}, {"target", "/models"}, {"read_only", true}},
                     Json{{"source", (folder / "work").string()}, {"target", "/__w"}, {"read_only", false}},
                     Json{{"source", "/externals"}, {"target", "/__e"}, {"read_only", true}},
                     Json{{"source", fs::canonical(set).string()}, {"target", "/set"}, {"read_only", true}}}));
  // A volume of the launcher's flag and one of the workflow with the same name are one.
  REQUIRE(made["volumes"].size() == 3);
  CHECK(made["volumes"][0]["name"] == made["volumes"][1]["name"]);
  CHECK(made["volumes"][2]["name"] != made["volumes"][0]["name"]);

  for (const std::string& source : Strings{"/etc", "/", set + "/../..", (folder / "data/out").string(),
                                           (folder / "data").string() + "2", (folder / "data/out/ssh").string()}) {
    CAPTURE(source);
    CHECK_THROWS_WITH(mounts_of({.image = "a", .user_mounts = {{.source = source, .target = "/x"}}}),
                      ContainsSubstring("--allow-volumes"));
  }
  CHECK_THROWS_WITH(mounts_of({.image = "a", .user_mounts = {{.source = "./x", .target = "/x"}}}),
                    ContainsSubstring("./x"));
  CHECK_THROWS_WITH(
      mounts_of({.image = "a", .system_mounts = {{.source = (folder / "work/out").string(), .target = "/x"}}}),
      ContainsSubstring("work folder"));
}

TEST_CASE("the agent's work folder is known where its variables fit together") {
  const test::TemporaryDirectory folder;
  std::filesystem::create_directories(folder / "work/_temp");
  std::filesystem::create_directories(folder / "work/p/p");
  {
    const AgentVariables variables(folder / "work");
    const AgentWork work = find_agent_work();
    CHECK(work.canonical == std::filesystem::canonical(folder / "work"));
    CHECK(work.uid == ::geteuid());
    ::setenv("GITHUB_WORKSPACE", "/etc", 1);
    CHECK_FALSE(find_agent_work().uid);
    for (const char* temp : {"/_temp", "/etc", "_temp", "", "/absent/_temp"}) {
      CAPTURE(temp);
      ::setenv("RUNNER_TEMP", temp, 1);
      CHECK(find_agent_work().canonical.empty());
    }
  }
  CHECK(find_agent_work().canonical.empty());
}

TEST_CASE("a service is known by its name in the workflow, its options and its image") {
  const auto names = [](const char* image, const char* options, const char* context = "") {
    return service_aliases({.image = image, .context_name = context}, parse_create_options(options, false));
  };
  CHECK(names("redis", "") == Strings{"redis"});
  CHECK(names("registry.example:5000/team/postgres:17", "--name db --network-alias sql --network-alias db", "store") ==
        Strings{"store", "db", "sql", "postgres"});
  CHECK(names("ghcr.io/x/y@sha256:" /**/
              "0123456789012345678901234567890123456789012345678901234567890123",
              "") == Strings{"y"});
}

TEST_CASE("folders go before the PATH that a program would have") {
  CHECK(prepend_path({"/b", "/a"}, "/bin:/usr/bin") == "/b:/a:/bin:/usr/bin");
  CHECK(prepend_path({"/a"}, "") == "/a:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  client::TaskDetails container;
  container.environment = {"PATH=/image", "PATHS=/other"};
  CHECK(variable_in({}, container, "PATH") == "/image");
  CHECK(variable_in({{"PATH", "/asked"}}, container, "PATH") == "/asked");
  CHECK(variable_in({}, container, "HOME").empty());
}

TEST_CASE("what the hooks of a job note comes back, and names the folder") {
  const test::TemporaryDirectory place;
  const JobFolder folder(place / "state");
  CHECK_FALSE(folder.read());
  JobRecord record{.job = folder.new_job(), .has_container = true, .image = "i", .user = "1:2", .path = "/bin"};
  record.memory = 5;
  record.asked_gpus = 2;
  record.work_folder = "/__w";
  record.uid = 7;
  folder.write(record);
  const auto read = folder.read();
  REQUIRE(read);
  CHECK((read->job == record.job && read->has_container && read->image == "i" && read->user == "1:2"));
  CHECK((read->path == "/bin" && read->memory == 5 && read->asked_gpus == 2 && read->work_folder == "/__w"));
  CHECK(read->uid == 7);
  CHECK_FALSE(read->gid);
  CHECK(folder.is_own(record.job));
  CHECK_FALSE(folder.is_own(""));
  CHECK_FALSE(JobFolder(place / "other").is_own(record.job));
  CHECK(JobFolder(place / "./other/../state").is_own(record.job));
  CHECK(folder.new_job() != record.job);
  folder.forget();
  folder.forget();
  CHECK_FALSE(folder.read());
}

}  // namespace dstack::shim::ci::github
