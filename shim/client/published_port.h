#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dstack::shim::client {

// A port of a container on 127.0.0.1.
struct PublishedPort {
  int host = 0;  // 0: a free one
  int container = 0;
  std::string protocol = "tcp";
};

// "8080:80", "80", "127.0.0.1:8080:80", "53:53/udp"; nothing for anything else.
std::optional<PublishedPort> parse_published_port(std::string_view text);

}  // namespace dstack::shim::client
