#include "shim/docker/engine_address.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <format>

#include "common/error.h"
#include "common/text/number.h"
#include "common/text/split.h"

namespace dstack::shim::docker {

namespace {

constexpr const char* kDefaultHost = "unix:///var/run/docker.sock";

// "1.44"
bool is_version(const std::string& text) {
  const auto parts = text::split(text, '.');
  return parts.size() == 2 &&
         std::ranges::all_of(parts, [](std::string_view part) { return part.size() <= 4 && text::is_digits(part); });
}

// As docker's own clients do: certificates are used where DOCKER_CERT_PATH names a folder; an engine's certificate is
// checked where DOCKER_TLS_VERIFY is set to anything.
void use_certificates(http::Endpoint& endpoint, const std::string& folder, bool verify) {
  const std::filesystem::path path(folder);
  endpoint.ca_file = path / "ca.pem";
  endpoint.certificate_file = path / "cert.pem";
  endpoint.key_file = path / "key.pem";
  endpoint.verify_peer = verify;
}

}  // namespace

EngineAddress engine_at_socket(const std::string& path) {
  // The host name in the URL goes into the Host header only.
  return {.endpoint = {.base_url = "http://docker", .unix_socket = path}, .name = "unix://" + path, .api_version = ""};
}

EngineAddress engine_address(const Environment& environment) {
  const auto variable = [&environment](const char* name) { return environment(name).value_or(""); };
  std::string host = variable("DOCKER_HOST");
  if (host.empty()) host = kDefaultHost;

  EngineAddress address;
  if (host.starts_with("unix://") && host.size() > 7) {
    address = engine_at_socket(host.substr(7));
  } else if (host.starts_with("tcp://")) {
    const std::string authority = host.substr(6, host.find('/', 6) - 6);
    const std::size_t colon = authority.rfind(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == authority.size()) {
      throw Error(ErrorKind::invalid, std::format("DOCKER_HOST {}: expected tcp://HOST:PORT", printable(host)));
    }
    const std::string folder = variable("DOCKER_CERT_PATH");
    const bool verify = !variable("DOCKER_TLS_VERIFY").empty();
    const bool tls = verify || !folder.empty();
    address.endpoint.base_url = (tls ? "https://" : "http://") + authority;
    if (!folder.empty()) {
      use_certificates(address.endpoint, folder, verify);
    } else if (const std::string home = variable("HOME"); tls && std::filesystem::exists(home + "/.docker/ca.pem")) {
      use_certificates(address.endpoint, home + "/.docker", verify);
    }
    address.name = host;
  } else {
    throw Error(ErrorKind::invalid,
                std::format("DOCKER_HOST {}: expected unix://PATH or tcp://HOST:PORT", printable(host)));
  }
  address.api_version = variable("DOCKER_API_VERSION");
  if (address.api_version.starts_with('v')) address.api_version.erase(0, 1);
  if (!address.api_version.empty() && !is_version(address.api_version)) {
    throw Error(ErrorKind::invalid,
                std::format("DOCKER_API_VERSION {}: expected a version such as 1.44", printable(address.api_version)));
  }
  return address;
}

EngineAddress engine_address() {
  return engine_address([](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    if (value == nullptr) return std::nullopt;
    return value;
  });
}

}  // namespace dstack::shim::docker
