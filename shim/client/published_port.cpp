#include "shim/client/published_port.h"

#include <vector>

#include "common/text/number.h"
#include "common/text/split.h"

namespace dstack::shim::client {

namespace {

std::optional<int> port_in(std::string_view text) {
  const auto number = text::parse_number<int>(text);
  return number && *number > 0 && *number <= 65535 ? number : std::nullopt;
}

}  // namespace

std::optional<PublishedPort> parse_published_port(std::string_view text) {
  PublishedPort port;
  if (const std::size_t slash = text.find('/'); slash != std::string_view::npos) {
    port.protocol = text.substr(slash + 1);
    text = text.substr(0, slash);
  }
  if (port.protocol != "tcp" && port.protocol != "udp") return std::nullopt;
  const std::vector<std::string_view> parts = text::split(text, ':');
  if (parts.size() > 3 || (parts.size() == 3 && parts.front() != "127.0.0.1" && parts.front() != "localhost")) {
    return std::nullopt;
  }
  const auto container = port_in(parts.back());
  if (!container) return std::nullopt;
  port.container = *container;
  if (parts.size() == 1 || parts[parts.size() - 2].empty()) return port;
  const auto host = port_in(parts[parts.size() - 2]);
  if (!host) return std::nullopt;
  port.host = *host;
  return port;
}

}  // namespace dstack::shim::client
