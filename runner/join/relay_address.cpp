#include "runner/join/relay_address.h"

#include <charconv>
#include <format>

#include "common/command_error.h"
#include "common/exit_status.h"

namespace dstack::runner::join {

std::optional<HostPort> parse_host_port(const std::string& text, int fallback) {
  HostPort found{.host = text, .port = fallback};
  std::string port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string::npos) return std::nullopt;
    found.host = text.substr(1, end - 1);
    port = text.substr(end + 1);
    if (!port.empty() && !port.starts_with(':')) return std::nullopt;
  } else if (const std::size_t colon = text.find(':'); colon != std::string::npos && colon == text.rfind(':')) {
    found.host = text.substr(0, colon);
    port = text.substr(colon);
  }
  // It becomes an argument of ssh: nothing that begins with a dash, no blanks.
  const bool plain = found.host.find_first_not_of(
                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:") == std::string::npos;
  if (found.host.empty() || found.host.starts_with('-') || !plain) return std::nullopt;
  if (!port.empty()) {
    const auto [end, error] = std::from_chars(port.data() + 1, port.data() + port.size(), found.port);
    if (error != std::errc{} || end != port.data() + port.size() || found.port < 1 || found.port > 65535) {
      return std::nullopt;
    }
  }
  return found;
}

void check_relay(const std::string& text) {
  if (text == "none" || parse_host_port(text)) return;
  throw CommandError(exit_status::kUsage, std::format("--relay {}: it is HOST, HOST:PORT or none", printable(text)));
}

}  // namespace dstack::runner::join
