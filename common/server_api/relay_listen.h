#pragma once

#include <string>

namespace dstack::server_api {

// At a relay each user of a dstack server may listen on 32 addresses of the loopback interface, 127.X.Y.1 to .32, which
// follow from the user's id: X = 64 + h[0] mod 128, Y = h[1], h = sha256(id). All at this port.
inline constexpr int kRelayListenPort = 2222;
inline constexpr int kRelayAddresses = 32;

// `number` is 1 … 32.
std::string relay_listen_address(const std::string& user_id, int number);

}  // namespace dstack::server_api
