#include "shim/ci/service_start.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <format>
#include <optional>

#include "common/os/unique_fd.h"
#include "common/os/wait.h"
#include "common/text/number.h"
#include "shim/client/text.h"

namespace dstack::shim::ci {

namespace {

constexpr std::chrono::seconds kServiceLimit{30};
constexpr std::chrono::milliseconds kServiceInterval{200};
// One that says nothing of how it is reached is up if it has not ended until then.
constexpr std::chrono::seconds kUnknownPortLimit{1};
constexpr std::chrono::seconds kConnectLimit{1};

std::optional<std::uint16_t> lowest_tcp_port(const std::vector<std::string>& exposed) {
  std::optional<std::uint16_t> lowest;
  for (const std::string& name : exposed) {
    if (!name.ends_with("/tcp")) continue;
    const auto port = text::parse_number<std::uint16_t>(std::string_view(name).substr(0, name.size() - 4));
    if (port && (!lowest || *port < *lowest)) lowest = port;
  }
  return lowest;
}

bool takes_connection(const std::string& address, std::uint16_t port, os::Clock& clock) {
  sockaddr_in target{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
  if (::inet_pton(AF_INET, address.c_str(), &target.sin_addr) != 1) return false;
  const os::UniqueFd connection(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!connection) return false;
  if (::connect(connection.get(), reinterpret_cast<const sockaddr*>(&target), sizeof target) == 0) return true;
  if (errno != EINPROGRESS) return false;
  pollfd waiting{.fd = connection.get(), .events = POLLOUT, .revents = 0};
  if (os::Wait(clock, {}, clock.now() + kConnectLimit).until_ready({&waiting, 1}, "a connection to a service") !=
      os::Wait::Outcome::ready)
    return false;
  int failure = 0;
  socklen_t size = sizeof failure;
  return ::getsockopt(connection.get(), SOL_SOCKET, SO_ERROR, &failure, &size) == 0 && failure == 0;
}

// `watched`: how long the service has been seen to run.
bool is_up(const client::TaskDetails& service, std::chrono::nanoseconds watched, os::Clock& clock) {
  if (service.health == "healthy") return true;
  if (service.health != "none") return false;
  const auto port = lowest_tcp_port(service.exposed_ports);
  return port ? takes_connection(service.address, *port, clock) : watched >= kUnknownPortLimit;
}

}  // namespace

std::string await_service(Containers& containers, const std::string& role, os::Clock& clock) {
  const os::SteadyTime begin = clock.now();
  while (true) {
    const client::TaskDetails service = containers.details(role);
    if (service.task.ended()) return client::ending_of(service.task);
    if (is_up(service, clock.now() - begin, clock)) return {};
    if (clock.now() - begin >= kServiceLimit) {
      return service.health == "none" ? std::format("it does not accept connections after {}", kServiceLimit)
                                      : std::format("it is {} after {}", service.health, kServiceLimit);
    }
    os::pause(clock, kServiceInterval, {});
  }
}

}  // namespace dstack::shim::ci
