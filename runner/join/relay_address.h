#pragma once

#include <optional>
#include <string>

namespace dstack::runner::join {

struct HostPort {
  std::string host;
  int port = 22;

  friend bool operator==(const HostPort&, const HostPort&) = default;
};

// "host", "host:2222", "[::1]:2222"; nothing for anything else. The port is `fallback` where none is given.
std::optional<HostPort> parse_host_port(const std::string& text, int fallback = 22);

// Throws CommandError (64) for a --relay that is neither none nor HOST[:PORT].
void check_relay(const std::string& text);

}  // namespace dstack::runner::join
