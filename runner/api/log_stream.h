#pragma once

#include <memory>

#include "common/http/server.h"
#include "common/os/clock.h"
#include "runner/logs/logs.h"

namespace dstack::runner {

// GET /logs_ws: the job's raw output as a WebSocket, to any number of readers. One thread serves all of them straight
// from the page cache; a reader costs a descriptor and a position, one that does not read nothing more.
class LogStream {
 public:
  explicit LogStream(Logs& logs, os::Clock& clock = os::system_clock());
  LogStream(const LogStream&) = delete;
  LogStream& operator=(const LogStream&) = delete;
  // Breaks off the readers that are left.
  ~LogStream();

  // Before server.run(). This object outlives the server.
  void add_route(http::Server& server);

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace dstack::runner
