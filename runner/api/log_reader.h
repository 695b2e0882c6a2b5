#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/http/server.h"
#include "common/http/web_socket.h"
#include "common/os/clock.h"
#include "common/os/unique_fd.h"
#include "runner/logs/job_log.h"

namespace dstack::runner {

// One WebSocket on its way through the job's output: a position, and at most a few bytes that wait to be sent. Never
// blocks. For one thread.
class LogReader {
 public:
  // Begins at `position` or, where that is nothing, refuses the start_time that was asked for.
  LogReader(const JobLog& log, http::WebSocketConnection connection, std::optional<std::uint64_t> position);

  int socket() const { return socket_.get(); }

  // The socket has become readable or writable, or its peer has gone.
  void note(bool readable, bool writable) {
    readable_ = readable_ || readable;
    writable_ = writable_ || writable;
  }

  // Receives and sends what it can, but no more than a little, as others wait. `size` is how long the output is,
  // `ended` that it will be no longer. True when there is more to do at once.
  bool advance(std::uint64_t size, bool ended);

  // All has been sent, a close frame too; only the peer's answer to that is awaited.
  bool closing() const { return close_sent_; }
  // The peer's kernel has yet to take some of what was sent.
  bool unreceived() const;
  // Nothing will come of it any more.
  bool finished() const { return finished_ || (close_sent_ && close_received_); }

  // Until when the peer's answer is awaited, and what was sent is on its way at most; for the owner to keep.
  std::optional<os::SteadyTime> patience;
  std::optional<os::SteadyTime> last_patience;

 private:
  void receive();
  void hear(std::string_view bytes);
  bool choose_next(std::uint64_t size, bool ended);
  bool send_some();

  const JobLog& log_;
  os::UniqueFd socket_;
  http::WebSocketInput input_;
  std::uint64_t position_ = 0;
  std::uint64_t frame_left_ = 0;  // bytes of the output that belong to the frame that is being sent
  std::string unsent_;            // a frame's header, or a control frame; goes before those
  std::optional<std::string> pong_;
  std::optional<http::CloseCode> close_;
  const char* close_reason_ = "";
  bool close_chosen_ = false;
  bool close_sent_ = false;
  bool close_received_ = false;
  bool readable_ = true;
  bool writable_ = true;
  bool finished_ = false;
};

}  // namespace dstack::runner
