#include "runner/options.h"

#include <catch2/catch_test_macros.hpp>

namespace dstack::runner {

namespace {

Invocation parse(std::vector<const char*> arguments, bool process_1 = true) {
  arguments.insert(arguments.begin(), "dstack-runner");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data(), process_1);
}

Options parsed(std::vector<const char*> arguments) { return std::get<Options>(parse(std::move(arguments))); }

}  // namespace

TEST_CASE("start has the contract's defaults") {
  const Options options = parsed({"start"});
  CHECK(options.temp_dir == "/tmp/runner");
  CHECK(options.http_address.empty());
  CHECK(options.http_port == 10999);
  CHECK(options.ssh_port == 10022);
  CHECK(options.ssh_authorized_keys.empty());
  CHECK(options.ssh_log_level == "INFO");
  CHECK(options.log_level == spdlog::level::info);
}

TEST_CASE("a shim's whole command line is understood") {
  const Options options =
      parsed({"--log-level", "6", "start", "--home-dir", "/root", "--temp-dir", "/t", "--http-address", "",
              "--http-port", "1", "--ssh-port", "2", "--ssh-log-level", "DEBUG3"});
  CHECK(options.log_level == spdlog::level::trace);
  CHECK(options.temp_dir == "/t");
  CHECK(options.http_address.empty());
  CHECK(options.http_port == 1);
  CHECK(options.ssh_port == 2);
  CHECK(options.ssh_log_level == "DEBUG3");
}

TEST_CASE("authorized keys are taken whole, in their order") {
  const char* restricted = R"(command="a, b",no-pty ssh-ed25519 AAAA "c" [d,e])";
  const Options options = parsed({"start", "--ssh-authorized-key", restricted, "--ssh-authorized-key=ssh-rsa B c",
                                  "--http-port", "5", "--ssh-authorized-key", "[x,y]"});
  CHECK(options.ssh_authorized_keys == std::vector<std::string>{restricted, "ssh-rsa B c", "[x,y]"});
  CHECK(options.http_port == 5);
}

TEST_CASE("the last of several values counts") {
  CHECK(parsed({"start", "--http-port", "1", "--http-port", "2"}).http_port == 2);
}

TEST_CASE("what is wrong with a command line ends the program") {
  for (const std::vector<const char*>& arguments : {std::vector<const char*>{},
                                                    {"run"},
                                                    {"start", "--no-such"},
                                                    {"start", "--http-port", "x"},
                                                    {"start", "--http-port", "65536"},
                                                    {"--log-level", "loud", "start"},
                                                    {"start", "extra"}}) {
    CHECK(std::get<int>(parse(arguments)) == 1);
  }
  CHECK(std::get<int>(parse({"--version"})) == 0);
  CHECK(std::get<int>(parse({"--help"})) == 0);
}

TEST_CASE("start is a container's in process 1 or with a container's flag, and a host's otherwise") {
  CHECK(std::holds_alternative<Options>(parse({"start"}, true)));
  CHECK(std::holds_alternative<Options>(parse({"start", "--temp-dir", "/t"}, false)));
  CHECK(std::holds_alternative<Options>(parse({"start", "--ssh-port=2"}, false)));
  CHECK(std::holds_alternative<join::StartOptions>(std::get<join::Command>(parse({"start"}, false))));
  const auto command = std::get<join::Command>(parse({"start", "--name", "n1", "--env", "A=b", "--env=C=d"}, false));
  const auto& start = std::get<join::StartOptions>(command);
  CHECK(start.given.name == "n1");
  CHECK(start.environment == std::vector<std::string>{"A=b", "C=d"});
  CHECK(start.wait);
}

TEST_CASE("start with flags of both a container and a host is a usage error") {
  CHECK(std::get<int>(parse({"start", "--name", "n1", "--http-port", "1"}, false)) == 64);
  CHECK(std::get<int>(parse({"start", "--foreground", "--temp-dir=/t"}, true)) == 64);
}

TEST_CASE("a host's commands have an exit status of their own for what is wrong with them") {
  CHECK(std::get<int>(parse({"start", "--no-such"}, false)) == 64);
  CHECK(std::get<int>(parse({"config", "--bad"}, false)) == 64);
  CHECK(std::get<int>(parse({"start", "--blocks", "0"}, false)) == 64);
  CHECK(std::get<int>(parse({"start", "--env", "no-value"}, false)) == 64);
}

}  // namespace dstack::runner
