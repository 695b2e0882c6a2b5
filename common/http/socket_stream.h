#pragma once

#include <httplib.h>

#include <chrono>
#include <memory>
#include <string>

#include "common/http/server.h"
#include "common/os/unique_fd.h"

namespace dstack::http {

// A connection as httplib reads and writes it. In place of the library's own stream, whose write may stop half-way
// through a WebSocket frame and whose wait for the next request wakes a hundred times a second.
class SocketStream final : public httplib::Stream {
 public:
  SocketStream(os::UniqueFd socket, std::chrono::milliseconds write_timeout);

  // Whether there is something to read, or the end of the connection, within that time.
  bool is_readable_within(std::chrono::milliseconds limit) const;

  // Between two requests: a connection that has nothing unread keeps no buffer, so that thousands can be idle.
  void rest();

  // Bounds how long all reads together may take from now on: a request that trickles in holds a thread.
  void expect_request_within(std::chrono::milliseconds limit);
  // What was read and whether something was written since then.
  std::size_t bytes_read() const { return bytes_read_; }
  bool has_written() const { return has_written_; }
  // From here on only silence counts: at most `silence` between two pieces.
  void expect_steady_data(std::chrono::milliseconds silence);

  // The next answer is the last: when more is read afterwards, the peer is told the end first. All that takes `limit`
  // at most, and `silence` between two pieces.
  void end_after_answer(std::chrono::milliseconds silence, std::chrono::milliseconds limit);
  bool ending() const { return ending_; }
  // Closes the sending side, then reads and drops what still comes, within the limits of end_after_answer(). A
  // connection that is closed with unread input is reset, and the peer may lose the answer.
  void drain();

  // Whether the connection was broken off, by the peer or by the network; not by an ordinary end.
  bool was_reset() const;

  // Gives the socket away, with what was read from it and not asked for. From here on reads find the end and writes go
  // nowhere, since httplib says its last words on a WebSocket that is no longer its own.
  WebSocketConnection release();

  bool is_readable() const override { return start_ < end_; }
  bool wait_readable() const override;
  bool wait_writable() const override;
  bool is_peer_alive() const override;
  ssize_t read(char* data, size_t size) override;
  // All of it, or an error.
  ssize_t write(const char* data, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  socket_t socket() const override { return socket_.get(); }
  time_t duration() const override { return 0; }
  // httplib calls this for a WebSocket only: the peer may then be silent for ever, but for the wait for its last word.
  void set_read_timeout(time_t seconds, time_t microseconds) override;

 private:
  using Time = std::chrono::steady_clock::time_point;
  std::chrono::milliseconds read_limit() const;
  ssize_t receive(char* data, std::size_t size);

  os::UniqueFd socket_;
  std::chrono::milliseconds write_timeout_;
  Time request_deadline_ = Time::max();
  std::chrono::milliseconds silence_{-1};
  std::size_t bytes_read_ = 0;  // of the request
  bool has_written_ = false;    // since the request began
  bool ending_ = false;
  bool answered_ = false;  // since it is ending
  std::unique_ptr<char[]> buffer_;
  std::size_t start_ = 0;
  std::size_t end_ = 0;
};

}  // namespace dstack::http
