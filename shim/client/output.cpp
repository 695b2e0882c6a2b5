#include "shim/client/output.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "common/error.h"

namespace dstack::shim::client {

namespace {

// A terminal or pipe that somebody else set not to block.
void await_room(int fd) {
  pollfd waiting{.fd = fd, .events = POLLOUT, .revents = 0};
  ::poll(&waiting, 1, -1);
}

}  // namespace

bool write_answer(std::string_view text, int fd) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count >= 0) {
      text.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {
      await_room(fd);
    } else if (errno == EPIPE) {
      return false;
    } else if (errno != EINTR) {
      throw os_error("write to", "stdout");
    }
  }
  return true;
}

}  // namespace dstack::shim::client
