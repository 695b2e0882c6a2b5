#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "common/http/client.h"

namespace dstack::http {

// A connection that one request has turned into a stream of bytes both ways, as the Docker engine does for attach and
// exec. One thread at a time uses it; no member blocks.
class Upgraded {
 public:
  virtual ~Upgraded() = default;

  // To poll for what is to be read or written. Read until nothing comes before polling: some may be buffered.
  virtual int fd() const = 0;
  // How many bytes were put into `into`: 0 at the end of the stream, nothing if there are none now. Throws Error
  // (unavailable) if the connection broke.
  virtual std::optional<std::size_t> read(std::span<char> into) = 0;
  // How many bytes were taken, 0 if none can be now. Throws Error (unavailable) if the connection broke.
  virtual std::size_t write(std::string_view bytes) = 0;
  // The other side reads the end of the stream after what was written; reading goes on.
  virtual void end_output() = 0;
};

// What a request for such a stream was answered.
struct UpgradeAnswer {
  ClientResponse response;           // with its body where there is no stream
  std::unique_ptr<Upgraded> stream;  // null unless the status is 101, or 200 from an engine that says that instead
};

class Transport;

// Sends `request` on a connection of its own, with "Upgrade: tcp". The answer must come within the request's limit.
UpgradeAnswer upgrade(const Transport& transport, const ClientRequest& request, os::Clock& clock,
                      const std::stop_token& stop);

}  // namespace dstack::http
