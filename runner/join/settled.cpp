#include "runner/join/settled.h"

#include <unistd.h>

#include <algorithm>
#include <format>
#include <tuple>

#include "common/error.h"
#include "common/exit_status.h"
#include "runner/join/host_login.h"
#include "runner/join/host_name.h"
#include "runner/join/runner_name.h"

namespace dstack::runner::join {

namespace {

void settle_name(const std::optional<server_api::Setting>& wanted, const std::optional<State>& before, State& state) {
  if (wanted && !is_runner_name(wanted->value)) {
    throw usage_error(
        std::format("{} ({}): a runner's name has 2 to 41 lower case letters, digits and -, and begins with a letter",
                    printable(wanted->value), wanted->origin));
  }
  if (before) {
    state.name = before->name;
    state.name_is_chosen = before->name_is_chosen;
    if (wanted && wanted->value != before->name && wanted->origin == "--name") {
      throw CommandError(exit_status::kFailed,
                         std::format("this host is the runner {} already: dstack-runner leave first", before->name));
    }
    return;
  }
  state.name_is_chosen = wanted.has_value();
  state.name = wanted ? wanted->value : runner_name_of(host_name());
}

void settle_custom_relay(const RelayOptions& options, Relay& relay) {
  if (options.user.empty() || options.key.empty() || options.listen.empty()) {
    throw usage_error("--relay-user, --relay-key and --relay-listen go together");
  }
  const auto listen = parse_host_port(options.listen, 0);
  if (!listen || listen->port == 0)
    throw usage_error(std::format("--relay-listen {}: it is ADDRESS:PORT", printable(options.listen)));
  if (::access(options.key.c_str(), R_OK) != 0) throw os_error("read", options.key);
  if (options.user.starts_with('-') || options.user.contains('@'))
    throw usage_error("--relay-user is the name of a user");
  relay.user = options.user;
  relay.key = std::filesystem::absolute(options.key);
  relay.listen = std::format("{}:{}", listen->host, listen->port);
}

void settle_way_in(const StartOptions& options, const server_api::Settings& settings, State& state) {
  if (!options.address.empty()) {
    const auto address = parse_host_port(options.address);
    if (!address) throw usage_error(std::format("--address {}: it is HOST or HOST:PORT", printable(options.address)));
    if (options.relay.is_custom()) throw usage_error("--address needs no relay");
    state.address = *address;
    state.way_in = address->port == 22 ? WayIn::host_sshd : WayIn::direct;
    return;
  }
  const bool no_relay = settings.relay && settings.relay->value == "none";
  const bool local = server_api::is_loopback_url(settings.server.value);
  const bool relay_is_given = settings.relay && !no_relay;
  if (no_relay || (local && !relay_is_given && !options.relay.is_custom())) {
    if (!local) throw usage_error("without a relay the server needs an --address to reach this host at");
    state.way_in = WayIn::loopback;
    state.address = {.host = "127.0.0.1", .port = kLoginPort};
    return;
  }
  state.way_in = WayIn::tunnel;
  // NOLINTNEXTLINE(bugprone-unchecked-optional-access): relay_is_given
  const std::string host = relay_is_given ? settings.relay->value : server_api::host_of_url(settings.server.value);
  const auto server = parse_host_port(host);
  if (!server) throw usage_error(std::format("--relay {}: it is HOST, HOST:PORT or none", printable(host)));
  Relay relay{.server = *server};
  if (options.relay.is_custom()) {
    settle_custom_relay(options.relay, relay);
    // NOLINTNEXTLINE(bugprone-unchecked-optional-access): it was checked as it was settled
    state.address = *parse_host_port(relay.listen);
  }
  state.relay = relay;
}

}  // namespace

State settle(const StartOptions& options, const server_api::Settings& settings, const std::optional<State>& before) {
  State state;
  settle_name(settings.name, before, state);
  settle_way_in(options, settings, state);
  state.blocks = options.blocks;
  for (const std::string& variable : options.environment) {
    const std::size_t equals = variable.find('=');
    state.environment[variable.substr(0, equals)] = variable.substr(equals + 1);
  }
  state.keep_server_binaries = options.keep_server_binaries;
  if (!before) return state;
  state.before = before->before;
  state.was_live = before->was_live;
  // At a relay it keeps the address that it has.
  if (state.way_in == WayIn::tunnel && before->relay == state.relay && state.relay && state.relay->is_ours()) {
    state.address = before->address;
    state.relay_number = before->relay_number;
  }
  return state;
}

bool differs(const State& one, const State& other) {
  const auto all = [](const State& state) {
    return std::tie(state.name, state.way_in, state.address.host, state.address.port, state.relay_number, state.blocks,
                    state.environment, state.keep_server_binaries);
  };
  return all(one) != all(other) || one.relay != other.relay;
}

std::filesystem::path own_program() {
  std::error_code failure;
  const std::string path = std::filesystem::read_symlink("/proc/self/exe", failure);
  constexpr std::string_view kDeleted = " (deleted)";
  // A server has replaced it since it was started: what it is can still be read.
  if (failure || path.ends_with(kDeleted)) return "/proc/self/exe";
  return path;
}

}  // namespace dstack::runner::join
