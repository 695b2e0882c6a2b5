#include "runner/join/host_checks.h"

#include <format>

#include "common/error.h"
#include "common/http/client.h"
#include "common/os/command.h"
#include "common/os/free_port.h"

namespace dstack::runner::join {

namespace {

constexpr const char* kDockerSocket = "/var/run/docker.sock";

std::optional<std::string> docker_problem() {
  try {
    http::Client docker({.base_url = "http://docker", .unix_socket = kDockerSocket});
    const auto answer = docker.send({.path = "/_ping", .total_limit = std::chrono::seconds(10)});
    if (answer.status == 200) return std::nullopt;
    return std::format("Docker answers with status {} at {}: systemctl restart docker", answer.status, kDockerSocket);
  } catch (const std::exception& error) {
    return std::format(
        "Docker does not answer ({}): install Docker (curl -fsSL https://get.docker.com | sh), or "
        "systemctl start docker",
        error.what());
  }
}

// A server takes any output of its own "sudo" for a failure.
std::optional<std::string> sudo_problem() {
  const auto result = os::run_command({.arguments = {"sudo", "-n", "true"}});
  if (result.succeeded() && result.output.empty() && result.errors.empty()) return std::nullopt;
  const std::string said = result.errors.empty() ? result.output : result.errors;
  if (said.contains("unable to resolve host")) {
    return std::format(
        "\"sudo -n true\" prints {}, which a dstack server takes for a failure: echo \"127.0.1.1 "
        "$(hostname)\" >>/etc/hosts",
        printable(said));
  }
  return std::format("\"sudo -n true\" must succeed and print nothing, it {}{}: look at visudo", result.describe(),
                     said.empty() ? "" : " and prints " + printable(said));
}

bool has_systemd(const Places& places) {
  std::error_code failure;
  return std::filesystem::exists(places.below("/run/systemd/system"), failure);
}

}  // namespace

std::vector<std::string> missing_on_host(const Places& places, WayIn way_in, int port, bool rejoins) {
  std::vector<std::string> missing;
  if (auto problem = docker_problem()) missing.push_back(*problem);
  if (!has_systemd(places)) {
    missing.emplace_back(
        "systemd does not run here (/run/systemd/system is absent): use a host that was started with systemd");
  }
  const auto need = [&missing](const char* program, const char* package) {
    if (os::find_program(program)) return true;
    missing.push_back(std::format("{} is not installed: apt-get install {}", program, package));
    return false;
  };
  need("systemctl", "systemd");
  need("curl", "curl");
  need("mktemp", "coreutils");
  if (way_in == WayIn::tunnel) need("ssh", "openssh-client");
  if (need("sudo", "sudo")) {
    if (auto problem = sudo_problem()) missing.push_back(*problem);
  }
  std::error_code failure;
  if (!rejoins && std::filesystem::exists(places.join_unit(), failure)) {
    missing.push_back(
        std::format("another runner is set up on this host ({}): systemctl disable --now dstack-join; rm {}",
                    places.join_unit().string(), places.join_unit().string()));
  } else if (!rejoins && way_in != WayIn::host_sshd) {
    try {
      os::check_port_is_free(port);
    } catch (const std::exception& error) {
      missing.push_back(std::format("{}: see which process uses it: ss -ltnp 'sport = :{}'", error.what(), port));
    }
  }
  return missing;
}

}  // namespace dstack::runner::join
