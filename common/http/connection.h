#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "common/http/socket_stream.h"
#include "common/os/clock.h"
#include "common/os/unique_fd.h"

namespace dstack::http {

// A connection of a server, with what is known of it from one request to the next.
struct Connection {
  Connection(os::UniqueFd socket, std::chrono::milliseconds write_timeout) : stream(std::move(socket), write_timeout) {
    stream.get_remote_ip_and_port(remote_address, remote_port);
    stream.get_local_ip_and_port(local_address, local_port);
  }

  SocketStream stream;
  std::string remote_address;
  std::string local_address;
  int remote_port = 0;
  int local_port = 0;
  bool peer_may_call = false;  // its peer was looked at and let in
  bool unread = false;         // its last request was refused before all of it was read

  // Of Connections, under its mutex.
  bool is_served = false;
  bool is_given_away = false;
  os::SteadyTime idle_since;
};

}  // namespace dstack::http
