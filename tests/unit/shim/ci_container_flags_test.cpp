#include <CLI/CLI.hpp>
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cstdlib>

#include "shim/ci/container_flags.h"

using namespace dstack::shim::ci;

namespace {

ContainerFlags parse(std::vector<std::string> arguments) {
  ContainerFlags flags;
  CLI::App command("test");
  add_container_flags(command, flags);
  std::ranges::reverse(arguments);
  command.parse(std::move(arguments));
  read_variables(command);
  return flags;
}

std::string refusal_of(const std::vector<std::string>& arguments) {
  try {
    parse(arguments);
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  return "";
}

// A variable of this process for as long as it lives.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { ::unsetenv(name_); }

 private:
  const char* name_;
};

}  // namespace

TEST_CASE("the flags of a job's containers survive being passed on", "[ci]") {
  const ContainerFlags flags = parse({"--image", "debian:13", "--gpus", "all", "--cpus", "1.5", "--memory", "2GB",
                                      "--shm-size", "64MB", "--volume", "/data:/data:ro", "--volume", "cache:/c",
                                      "--allow-volumes", "/srv/,/mnt", "--privileged", "--agent", "/opt/a"});
  const ContainerFlags again = parse(to_arguments(flags));
  CHECK(again.image == "debian:13");
  CHECK(again.gpus == "all");
  CHECK(again.cpus == 1.5);
  CHECK(again.memory == std::uint64_t{2} << 30);
  CHECK(again.shm_size == std::uint64_t{64} << 20);
  CHECK(again.volumes == std::vector<std::string>{"/data:/data:ro", "cache:/c"});
  CHECK(again.allowed_volumes == std::vector<std::string>{"/srv/", "/mnt"});
  CHECK(again.privileged);
  CHECK_FALSE(again.host_jobs);
  CHECK(again.shim_port == kDefaultShimPort);
  CHECK(again.agent == "/opt/a");
}

TEST_CASE("a flag beats its variable, and an empty variable is unset", "[ci]") {
  const Variable image("CML_RUNNER_IMAGE", "from-variable");
  const Variable gpus("CML_RUNNER_GPUS", "");
  const Variable privileged("CML_RUNNER_PRIVILEGED", "1");
  const Variable volumes("CML_RUNNER_DOCKER_VOLUMES", "/a:/b");
  CHECK(parse({}).image == "from-variable");
  CHECK(parse({"--image", "from-flag"}).image == "from-flag");
  CHECK(parse({}).gpus.empty());
  CHECK(parse({}).privileged);
  CHECK(parse({}).volumes == std::vector<std::string>{"/a:/b"});
}

TEST_CASE("a port is named by its flag, its variable or the daemon's variable", "[ci]") {
  CHECK_FALSE(parse({}).shim_port);
  const Variable daemon("DSTACK_SHIM_HTTP_PORT", "7001");
  CHECK(parse({}).shim_port == 7001);
  const Variable own("CML_RUNNER_SHIM_HTTP_PORT", "7002");
  CHECK(parse({}).shim_port == 7002);
  CHECK(parse({"--shim-http-port", "7003"}).shim_port == 7003);
}

TEST_CASE("a bad value is refused with the flag or the variable that it came from", "[ci]") {
  CHECK(refusal_of({"--gpus", "some"}).contains("--gpus"));
  CHECK(refusal_of({"--image", ""}).contains("--image"));
  CHECK(refusal_of({"--volume", "a/b:/c"}).contains("--volume"));
  CHECK(refusal_of({"--allow-volumes", "srv"}).contains("--allow-volumes"));
  CHECK(refusal_of({"--cpus", "-1"}).contains("--cpus"));
  const Variable gpus("CML_RUNNER_GPUS", "some");
  CHECK(refusal_of({}).contains("CML_RUNNER_GPUS"));
  CHECK(refusal_of({"--gpus", "1"}).empty());
  const Variable privileged("CML_RUNNER_PRIVILEGED", "maybe");
  CHECK(refusal_of({"--gpus", "1"}).contains("CML_RUNNER_PRIVILEGED"));
}

TEST_CASE("a volume is a path or a name, with a path in the container", "[ci]") {
  CHECK(parse_volume("/a:/b")->is_path());
  CHECK_FALSE(parse_volume("a:/b")->is_path());
  CHECK(parse_volume("/a:/b:ro")->read_only);
  CHECK_FALSE(parse_volume("/a:/b:rw")->read_only);
  for (const char* wrong : {"", "/a", "/a:b", ":/b", "/a:/b:no", "/a:/b:ro:ro", "./a:/b"})
    CHECK_FALSE(parse_volume(wrong));
}
