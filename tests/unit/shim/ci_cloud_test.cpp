#include <CLI/CLI.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "common/command_error.h"
#include "common/os/command.h"
#include "common/text/split.h"
#include "common/text/trim.h"
#include "shim/ci/cloud/flags.h"
#include "shim/ci/cloud/run_command.h"
#include "shim/ci/cloud/run_spec.h"
#include "shim/ci/cloud/ssh_key.h"
#include "shim/ci/launcher_flags.h"
#include "tests/support/temporary_directory.h"

namespace dstack::shim::ci::cloud {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using nlohmann::json;

namespace {

LauncherFlags parsed(const std::vector<std::string>& arguments) {
  CLI::App app;
  LauncherFlags flags;
  add_ci_runner_command(app, flags);
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  reversed.emplace_back("ci-runner");
  app.parse(std::move(reversed));
  return flags;
}

json configuration(const std::vector<std::string>& arguments) {
  const LauncherFlags flags = parsed(arguments);
  return run_spec(flags.cloud,
                  {.name = "r", .commands = {"true"}, .variables = {{"A", "b"}}, .ssh_public_key = "ssh-ed25519 x"})
      .at("configuration");
}

// As os::run_command() has it, of a command that must succeed.
std::string output_of(const std::vector<std::string>& arguments) {
  const auto result = os::run_command({.arguments = arguments});
  INFO(result.describe());
  REQUIRE(result.succeeded());
  return result.output;
}

}  // namespace

TEST_CASE("a run is a task with Docker, the instance's dstack-shim, and no idle time") {
  const LauncherFlags flags = parsed({"--cloud", "aws"});
  const json spec = run_spec(
      flags.cloud,
      {.name = "gpu-1", .commands = {"one", "two"}, .variables = {{"A", "b"}}, .ssh_public_key = "ssh-ed25519 x"});
  CHECK(spec == json::parse(R"({
    "run_name": "gpu-1",
    "ssh_key_pub": "ssh-ed25519 x",
    "configuration": {
      "type": "task", "name": "gpu-1", "docker": true, "commands": ["one", "two"], "env": {"A": "b"},
      "volumes": ["/usr/local/bin/dstack-shim:/usr/local/bin/dstack-shim"],
      "resources": {"gpu": 0}, "backends": ["aws"], "regions": ["us-west-1"], "spot_policy": "on-demand",
      "max_duration": "off", "idle_duration": 0}})"));
}

TEST_CASE("CML's regions are translated for AWS and Azure, and no other cloud has a default") {
  struct Case {
    std::string backend;
    std::string region;
    json expected;
  };
  const auto regions = GENERATE(values<Case>({{"aws", "us-east", {"us-east-1"}},
                                              {"aws", "us-west", {"us-west-1"}},
                                              {"aws", "eu-north", {"eu-north-1"}},
                                              {"aws", "eu-west", {"eu-west-1"}},
                                              {"aws", "eu-central-1", {"eu-central-1"}},
                                              {"azure", "us-east", {"eastus"}},
                                              {"azure", "us-west", {"westus2"}},
                                              {"azure", "eu-north", {"northeurope"}},
                                              {"azure", "eu-west", {"westeurope"}},
                                              {"azure", "", {"westus2"}},
                                              {"gcp", "us-west", {"us-west"}},
                                              {"gcp", "", nullptr},
                                              {"runpod", "EU-RO-1", {"EU-RO-1"}}}));
  std::vector<std::string> arguments{"--cloud", regions.backend};
  if (!regions.region.empty()) arguments.insert(arguments.end(), {"--cloud-region", regions.region});
  CHECK(configuration(arguments).value("regions", json()) == regions.expected);
}

TEST_CASE("sizes and instance types become resources") {
  struct Case {
    std::vector<std::string> flags;
    std::string resources;
    json types;
  };
  const auto machine = GENERATE(values<Case>(
      {{{"--cloud-type", "m"}, R"({"cpu":"8..","memory":"16GB..","gpu":0})", nullptr},
       {{"--cloud-type", "l"}, R"({"cpu":"32..","memory":"64GB..","gpu":0})", nullptr},
       {{"--cloud-type", "xl"}, R"({"cpu":"64..","memory":"128GB..","gpu":0})", nullptr},
       {{"--cloud-type", "m", "--cloud-gpu", "v100"}, R"({"gpu":"V100:1"})", nullptr},
       {{"--cloud-type", "l", "--cloud-gpu", "tesla"}, R"({"gpu":"V100:4"})", nullptr},
       {{"--cloud-type", "xl", "--cloud-gpu", "k80"}, R"({"gpu":"K80:8"})", nullptr},
       {{"--cloud-type", "c5.large"}, R"({"cpu":"1..","memory":"0GB..","disk":"0GB..","gpu":0})", {"c5.large"}},
       {{"--cloud-type", "g5.xlarge", "--cloud-gpu", "A10G"},
        R"({"cpu":"1..","memory":"0GB..","disk":"0GB..","gpu":"A10G"})",
        {"g5.xlarge"}},
       {{"--cloud-gpu", "nogpu"}, R"({"gpu":0})", nullptr},
       {{"--cloud-gpu", "H100"}, R"({"gpu":"H100"})", nullptr},
       {{"--cloud-hdd-size", "50"}, R"({"gpu":0,"disk":"50GB.."})", nullptr},
       {{"--cloud-type", "c5.large", "--cloud-hdd-size", "50"},
        R"({"cpu":"1..","memory":"0GB..","disk":"50GB..","gpu":0})",
        {"c5.large"}}}));
  std::vector<std::string> arguments = machine.flags;
  arguments.insert(arguments.end(), {"--cloud", "aws"});
  const json made = configuration(arguments);
  CHECK(made.at("resources") == json::parse(machine.resources));
  CHECK(made.value("instance_types", json()) == machine.types);
}

TEST_CASE("a spot machine has a highest price only if one is given") {
  const json spot = configuration({"--cloud", "aws", "--cloud-spot", "--cloud-spot-price", "0.25"});
  CHECK(spot.at("spot_policy") == "spot");
  CHECK(spot.at("max_price") == 0.25);
  CHECK_FALSE(configuration({"--cloud", "aws", "--cloud-spot"}).contains("max_price"));
  CHECK_FALSE(configuration({"--cloud", "aws", "--cloud-spot", "--cloud-spot-price", "-1"}).contains("max_price"));

  const LauncherFlags alone = parsed({"--cloud", "aws", "--cloud-spot-price", "0.25"});
  REQUIRE(alone.warnings.size() == 1);
  CHECK_THAT(alone.warnings[0], ContainsSubstring("--cloud-spot-price"));
  CHECK_FALSE(configuration({"--cloud", "aws", "--cloud-spot-price", "0.25"}).contains("max_price"));
}

TEST_CASE("flags of a cloud without --cloud are named in a warning") {
  const LauncherFlags flags = parsed({"--cloud-region", "us-west", "--dstack-project", "p"});
  CHECK_FALSE(flags.cloud.is_wanted());
  REQUIRE(flags.warnings.size() == 2);
  CHECK_THAT(flags.warnings[0], ContainsSubstring("--cloud-region"));
}

TEST_CASE("wrong values of a cloud's flags are refused, and secrets are not quoted") {
  const auto wrong = GENERATE(values<std::vector<std::string>>({{"--cloud", ""},
                                                                {"--cloud", "aws", "--cloud-region", " "},
                                                                {"--cloud", "aws", "--cloud-hdd-size", "0"},
                                                                {"--cloud", "aws", "--cloud-hdd-size", "ten"},
                                                                {"--cloud", "aws", "--cloud-spot-price", "0"},
                                                                {"--cloud", "aws", "--cloud-spot-price", "nan"},
                                                                {"--cloud", "aws", "--cloud-startup-script", "s3cret!"},
                                                                {"--cloud", "aws", "--dstack-token", "s3cret\nline"}}));
  CHECK_THROWS_MATCHES(parsed(wrong), CLI::ValidationError, MessageMatches(!ContainsSubstring("s3cret")));
}

TEST_CASE("a run has the name of its runner in lower case, where the server takes it") {
  CHECK(run_name_of("GPU-1") == "gpu-1");
  CHECK(run_name_of("cml-0123456789") == "cml-0123456789");
  CHECK(run_name_of(std::string(41, 'a')) == std::string(41, 'a'));
  for (const std::string& name : {std::string("a"), std::string("1gpu"), std::string("gpu_1"), std::string("gpu.1"),
                                  std::string("-gpu"), std::string(42, 'a')})
    CHECK_FALSE(run_name_of(name));
}

TEST_CASE("the launcher in the run gets the flags as they were given, and no secret") {
  const LauncherFlags flags = parsed({"--cloud",
                                      "aws",
                                      "--cloud-startup-script",
                                      "ZWNobyBoaQ==",
                                      "--token",
                                      "s3cret",
                                      "--labels",
                                      "gpu,it's",
                                      "--idle-timeout",
                                      "never",
                                      "--single",
                                      "--no-retry",
                                      "--image",
                                      "a b",
                                      "--gpus",
                                      "2",
                                      "--shim-http-port",
                                      "1234",
                                      "--agent",
                                      "/usr/bin/gitlab-runner"});
  const auto commands = run_commands(flags, {.name = "r", .driver = "gitlab", .repo = "https://gitlab.com/t/p"});
  REQUIRE(commands.size() == 3);
  CHECK_THAT(commands[0], ContainsSubstring("DSTACK_SHIM_DOWNLOAD_URL"));
  CHECK_THAT(commands[1], ContainsSubstring("bash -e"));
  CHECK(
      commands[2] ==
      "exec /usr/local/bin/dstack-shim ci-runner --name r --driver gitlab --repo https://gitlab.com/t/p --labels "
      "'gpu,it'\\''s' --idle-timeout never --single --no-retry --image 'a b' --gpus 2 --agent /usr/bin/gitlab-runner");
  for (const std::string& command : commands) {
    CHECK_THAT(command, !ContainsSubstring("s3cret") && !ContainsSubstring("ZWNobyBoaQ=="));
  }
  CHECK(run_commands(parsed({"--cloud", "aws"}), {.name = "r", .driver = "gitlab", .repo = "u"}).size() == 2);
}

TEST_CASE("the startup script stops at its first failure, has no token, and reads nothing") {
  const test::TemporaryDirectory folder;
  const LauncherFlags flags = parsed({"--cloud", "aws", "--cloud-startup-script", "eA=="});
  const std::string command = run_commands(flags, {.name = "r", .driver = "gitlab", .repo = "u"})[1];
  // "cat; echo token=$DSTACK_CI_RUNNER_TOKEN$REPO_TOKEN; false; echo not here"
  const std::string script =
      "Y2F0OyBlY2hvIHRva2VuPSREU1RBQ0tfQ0lfUlVOTkVSX1RPS0VOJFJFUE9fVE9LRU47IGZhbHNlOyBlY2hvIG5vdCBoZXJl";
  const auto result =
      os::run_command({.arguments = {"env", "TMPDIR=" + folder.path().string(), "DSTACK_CI_STARTUP_SCRIPT=" + script,
                                     "DSTACK_CI_RUNNER_TOKEN=s3cret", "REPO_TOKEN=s3cret", "bash", "-c", command}});
  CHECK_FALSE(result.succeeded());
  CHECK(result.output == "token=\n");
}

TEST_CASE("the server is that of the flags, the environment or the default project of the dstack CLI") {
  const test::TemporaryDirectory folder;
  const std::filesystem::path file = folder / "config.yml";
  std::map<std::string, std::string> variables;
  const auto environment = [&variables](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
  const auto status_of = [&](const CloudFlags& flags, const std::string& flag) {
    try {
      find_account(flags, file, environment);
      return 0;
    } catch (const CommandError& error) {
      CHECK_THAT(error.what(), ContainsSubstring(flag));
      return error.exit_status();
    }
  };
  CHECK(status_of({}, "--dstack-url") == 2);
  variables["DSTACK_URL"] = "http://10.0.0.1:3000/";
  CHECK(status_of({}, "--dstack-project") == 2);
  variables["DSTACK_PROJECT"] = "ml";
  CHECK(status_of({}, "--dstack-token") == 2);
  variables["DSTACK_TOKEN"] = "t";
  auto account = find_account({}, file, environment);
  CHECK((account.url == "http://10.0.0.1:3000" && account.project == "ml" && account.token.reveal() == "t"));
  CloudFlags flags;
  flags.dstack_project = "other";
  CHECK(find_account(flags, file, environment).project == "other");
  flags.dstack_url = "not a URL";
  CHECK(status_of(flags, "--dstack-url") == 2);

  variables.clear();
  std::ofstream(file) << "projects:\n"
                         "- {name: one, url: 'http://one:3000', token: t1, default: false}\n"
                         "- {name: two, url: 'http://two:3000', token: t2, default: true}\n";
  account = find_account({}, file, environment);
  CHECK((account.url == "http://two:3000" && account.project == "two" && account.token.reveal() == "t2"));
  CloudFlags other;
  other.dstack_project = "one";
  CHECK(find_account(other, file, environment).url == "http://one:3000");
}

TEST_CASE("the public half of a private key is what ssh-keygen says") {
  const test::TemporaryDirectory folder;
  const std::string file = (folder / "key").string();
  const auto kind = GENERATE(values<std::vector<std::string>>({{"-t", "ed25519"},
                                                               {"-t", "rsa", "-b", "2048"},
                                                               {"-t", "rsa", "-b", "2048", "-m", "PEM"},
                                                               {"-t", "ecdsa", "-b", "256", "-m", "PKCS8"},
                                                               {"-t", "ecdsa", "-b", "521"},
                                                               {"-t", "ed25519", "-N", "a passphrase"}}));
  std::vector<std::string> arguments{"ssh-keygen", "-q", "-f", file, "-C", ""};
  if (!std::ranges::contains(kind, "-N")) arguments.insert(arguments.end(), {"-N", ""});
  arguments.insert(arguments.end(), kind.begin(), kind.end());
  output_of(arguments);
  const std::string expected(text::trim(output_of({"cat", file + ".pub"})));
  CHECK(public_half(file) == expected);
  const std::string text = output_of({"cat", file});
  CHECK(public_half(text) == expected);
  // On one line, as in a variable.
  std::string line = text;
  for (std::size_t at = line.find('\n'); at != std::string::npos; at = line.find('\n')) line.replace(at, 1, "\\n");
  CHECK(public_half(line) == expected);
}

TEST_CASE("a key that cannot be read is refused without being quoted") {
  for (const char* const key :
       {"s3cret", "-----BEGIN OPENSSH PRIVATE KEY-----\ns3cret\n-----END OPENSSH PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----"})
    CHECK_THROWS_MATCHES(public_half(key), Error, MessageMatches(!ContainsSubstring("s3cret")));
}

TEST_CASE("throwaway keys are Ed25519, each another") {
  const std::string key = throwaway_public_key();
  CHECK(key != throwaway_public_key());
  const test::TemporaryDirectory folder;
  std::ofstream(folder / "key.pub") << key << "\n";
  CHECK_THAT(output_of({"ssh-keygen", "-l", "-f", (folder / "key.pub").string()}), ContainsSubstring("ED25519"));
}

}  // namespace dstack::shim::ci::cloud
