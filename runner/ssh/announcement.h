#pragma once

#include <string>

#include "common/os/unique_fd.h"

namespace dstack::runner::ssh {

// A place where a server that has begun to listen says so, in the way that systemd asks of services (sd_notify).
class Announcement {
 public:
  Announcement();

  // NOTIFY_SOCKET=…, for the server's environment.
  std::string variable() const;
  // Readable once it has been said.
  int fd() const { return socket_.get(); }

 private:
  std::string name_;
  os::UniqueFd socket_;
};

}  // namespace dstack::runner::ssh
