#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/os/event.h"
#include "common/os/unique_fd.h"

namespace dstack::http {

// Listening TCP sockets and the loop that accepts from them.
class Listener {
 public:
  Listener();

  // See Server::bind.
  int bind(const std::string& address, int port);

  // Hands each connection to `take` until stop(); on the caller's thread. Calls `look_after` before each wait, which
  // lasts as many milliseconds at most as this returns; for ever if that is negative.
  void run(const std::function<void(os::UniqueFd)>& take, const std::function<int()>& look_after);

  // Ends run(), now or when it is called later. From any thread.
  void stop();

  // Readable from stop() on, for whoever waits beside a connection.
  int stopped_fd() const { return stopped_.fd(); }

 private:
  std::vector<os::UniqueFd> sockets_;
  os::Event stopped_;
};

}  // namespace dstack::http
