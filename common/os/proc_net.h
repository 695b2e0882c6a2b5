#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/os/tcp_sockets.h"

namespace dstack::os {

// One line of /proc/net/tcp or tcp6. The strings are pieces of the file's text.
struct TcpEntry {
  std::string_view local;   // "0100007F:2726": each four bytes of the address as a number of this machine's, and the
  std::string_view remote;  // port, both in hexadecimal
  std::string_view state;
  std::string_view inode;  // "0" for a socket that no process has open
  int local_port = 0;

  bool is_established() const { return state == "01"; }
  bool is_listening() const { return state == "0A"; }
  std::string_view local_address() const { return local.substr(0, local.rfind(':')); }
};

// The sockets in such a file's text, which must outlive the answer. Lines that are not sockets are skipped.
std::vector<TcpEntry> parse_proc_net_tcp(std::string_view text);

// How TcpEntry has an end of a connection; of an IPv4 address also how tcp6 has it. Nothing if it is not an address.
std::vector<std::string> proc_net_names(const TcpEnd& end);

}  // namespace dstack::os
