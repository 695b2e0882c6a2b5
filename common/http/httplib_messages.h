#pragma once

#include <httplib.h>

#include "common/http/message.h"
#include "common/http/server.h"
#include "common/http/socket_stream.h"

// Requests and answers between httplib's types and ours, and what httplib is told of a request that it would take apart
// itself.
namespace dstack::http {

Request from_httplib(const httplib::Request& source);
// `connection` is the one that the answer goes to; it outlives the answer.
void to_httplib(Response response, httplib::Response& target, const SocketStream& connection);

// What httplib demands of a WebSocket's opening handshake (RFC 6455, 4.2.1).
bool asks_for_websocket(const httplib::Request& request);
// A well-formed request whose method is not one that httplib parses.
bool is_other_method(const httplib::Request& request);

// Makes httplib hand over the body of a form as it is. It changes the request's headers as httplib sees them.
void keep_from_parsing_forms(const httplib::Request& source);

// The body of an upload, handed on as it comes.
class UploadBody final : public BodyReader {
 public:
  UploadBody(const httplib::Request& source, const httplib::ContentReader& reader, SocketStream& connection)
      : source_(source), reader_(reader), connection_(connection) {}

  // Throws Error (invalid) if the body breaks off.
  void read(const std::function<void(std::string_view)>& take) override;

 private:
  const httplib::Request& source_;
  const httplib::ContentReader& reader_;
  SocketStream& connection_;
};

}  // namespace dstack::http
