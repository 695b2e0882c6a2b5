#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <map>

#include "common/error.h"
#include "shim/docker/engine_address.h"

using namespace dstack;
using namespace dstack::shim::docker;
using Catch::Matchers::ContainsSubstring;

namespace {

EngineAddress address_with(const std::map<std::string, std::string>& variables) {
  return engine_address([&variables](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  });
}

}  // namespace

TEST_CASE("without DOCKER_HOST the engine is at its usual socket") {
  const EngineAddress address = address_with({});
  CHECK(address.endpoint.unix_socket == "/var/run/docker.sock");
  CHECK(address.name == "unix:///var/run/docker.sock");
  CHECK(address.api_version.empty());
}

TEST_CASE("an empty DOCKER_HOST is an unset one") {
  CHECK(address_with({{"DOCKER_HOST", ""}, {"DOCKER_API_VERSION", ""}}).name == "unix:///var/run/docker.sock");
}

TEST_CASE("DOCKER_HOST names another socket") {
  const EngineAddress address = address_with({{"DOCKER_HOST", "unix:///run/podman/podman.sock"}});
  CHECK(address.endpoint.unix_socket == "/run/podman/podman.sock");
}

TEST_CASE("DOCKER_HOST names a TCP address without TLS") {
  const EngineAddress address = address_with({{"DOCKER_HOST", "tcp://10.0.0.1:2375"}});
  CHECK(address.endpoint.base_url == "http://10.0.0.1:2375");
  CHECK(address.endpoint.unix_socket.empty());
  CHECK(address.name == "tcp://10.0.0.1:2375");
}

TEST_CASE("DOCKER_CERT_PATH turns TLS on, DOCKER_TLS_VERIFY the check of the engine's certificate") {
  std::map<std::string, std::string> variables{{"DOCKER_HOST", "tcp://docker.example:2376"},
                                               {"DOCKER_CERT_PATH", "/certs"}};
  const EngineAddress unchecked = address_with(variables);
  CHECK(unchecked.endpoint.base_url == "https://docker.example:2376");
  CHECK(unchecked.endpoint.ca_file == "/certs/ca.pem");
  CHECK(unchecked.endpoint.certificate_file == "/certs/cert.pem");
  CHECK(unchecked.endpoint.key_file == "/certs/key.pem");
  CHECK_FALSE(unchecked.endpoint.verify_peer);
  variables["DOCKER_TLS_VERIFY"] = "1";
  CHECK(address_with(variables).endpoint.verify_peer);
}

TEST_CASE("DOCKER_API_VERSION is taken with and without its v") {
  CHECK(address_with({{"DOCKER_API_VERSION", "1.43"}}).api_version == "1.43");
  CHECK(address_with({{"DOCKER_API_VERSION", "v1.43"}}).api_version == "1.43");
}

TEST_CASE("a DOCKER_HOST that names no engine is an error that shows it") {
  const std::string host = GENERATE("docker.example", "http://x:1", "ssh://user@host", "tcp://host", "tcp://:2375",
                                    "tcp://host:", "unix://", "npipe:////./pipe/docker");
  CHECK_THROWS_WITH(address_with({{"DOCKER_HOST", host}}), ContainsSubstring("DOCKER_HOST") && ContainsSubstring(host));
}

TEST_CASE("a DOCKER_API_VERSION that is no version is an error") {
  const std::string version = GENERATE("1", "1.", ".44", "1.4x", "latest", "1.44/../..");
  CHECK_THROWS_WITH(address_with({{"DOCKER_API_VERSION", version}}), ContainsSubstring("DOCKER_API_VERSION"));
}
