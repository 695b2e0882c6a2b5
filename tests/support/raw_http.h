#pragma once

#include <string>
#include <string_view>

#include "common/os/unique_fd.h"

namespace dstack::test {

// A client that sends just the bytes it is given, for requests that no library would make.
class RawConnection {
 public:
  explicit RawConnection(int port);

  void send(std::string_view bytes);
  void end_of_input();  // half-closes
  // Everything until the server closes.
  std::string read_all();
  // That many bytes; fewer where the server closes before.
  std::string read_bytes(std::size_t count);
  // One answer: its head and as many bytes of body as its Content-Length says.
  std::string read_answer();

 private:
  os::UniqueFd socket_;
  std::string unread_;
};

// The status line's number, 0 where there is none.
int status_of(std::string_view answer);

// What follows the head.
std::string body_of(std::string_view answer);

}  // namespace dstack::test
