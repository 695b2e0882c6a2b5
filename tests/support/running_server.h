#pragma once

#include <thread>

#include "common/http/server.h"

namespace dstack::test {

// Runs a server on a free port of the loopback interface as long as this lives; set its routes up before.
class RunningServer {
 public:
  explicit RunningServer(http::Server& server)
      : server_(server), port_(server.bind("127.0.0.1", 0)), thread_([this] { server_.run(); }) {}
  RunningServer(const RunningServer&) = delete;
  RunningServer& operator=(const RunningServer&) = delete;
  ~RunningServer() {
    server_.stop();
    server_.close_connections();
    thread_.join();
  }

  int port() const { return port_; }

 private:
  http::Server& server_;
  int port_;
  std::thread thread_;
};

}  // namespace dstack::test
