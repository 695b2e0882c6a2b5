#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/message.h"
#include "common/os/unique_fd.h"

namespace dstack::http {

// The body of an upload as it arrives. Pieces are valid during the call only.
class BodyReader {
 public:
  virtual ~BodyReader() = default;
  // Calls `take` for each piece until the body ends. Throws Error if the connection breaks before its end.
  virtual void read(const std::function<void(std::string_view)>& take) = 0;
};

// A connection that has become a WebSocket: the handshake is done, the rest is its owner's, on whatever thread it
// likes. The socket does not block; `received` is what the peer sent behind its request.
struct WebSocketConnection {
  os::UniqueFd socket;
  std::string received;
};

using Handler = std::function<Response(const Request&)>;
using UploadHandler = std::function<Response(const Request&, BodyReader&)>;
using WebSocketHandler = std::function<void(const Request&, WebSocketConnection)>;

struct ServerLimits {
  std::size_t body = std::size_t{1} << 20;  // bytes; 413 beyond it. Upload routes have none.
  std::size_t connections = 1024;           // open at a time; more are answered with 503
  std::chrono::seconds write_timeout{30};   // a client that does not read for this long is dropped
  // Longer than any client of ours keeps an idle connection, so that it is never closed under a request.
  std::chrono::seconds keep_alive{180};
  std::chrono::seconds upload_silence{60};  // at most between two pieces of an upload
};

// An HTTP/1.1 server: routing, errors to statuses, limits. Handlers run on the connection's thread, many at a time.
// An Error that leaves a handler becomes its status and "message\n"; any other exception is a 500.
// An unknown path is 404, a known one with the wrong method 405. After an answer of 400 and above the connection ends:
// what its client still sends is dropped, for 10 s at most.
class Server {
 public:
  explicit Server(ServerLimits limits = {});
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  // Set these up before run(). `pattern` is a path whose segments may be parameters: "/api/tasks/{id}/remove".
  void get(std::string pattern, Handler handler);
  void post(std::string pattern, Handler handler);
  // The same for endpoints whose body is JSON: a Content-Type that is present and not application/json is 415.
  void post_json(std::string pattern, Handler handler);
  // The same, with a look before the body is read: what `admit` throws refuses the request, whatever its body is.
  void post_json(std::string pattern, std::function<void(const Request&)> admit, Handler handler);
  void upload(std::string pattern, UploadHandler handler);
  // A GET with an upgrade; without one it is 400. The handler takes the connection over, so that an open WebSocket
  // holds no thread of this server; neither stop() nor close_connections() touches it any more.
  void websocket(std::string pattern, WebSocketHandler handler);

  // Runs before every request, WebSockets and unknown paths too; an answer ends the request.
  void guard(std::function<std::optional<Response>(const Request&)> check);
  // Looks at who is at the other end of a connection, by the request's addresses: after `check`, before the first
  // request to any path but `open_path`. An answer ends the request, and the next one is looked at again; without one
  // the connection is not looked at any more. What throws ends the request as in a handler,
  // and a WebSocket's connection.
  void guard_peers(std::function<std::optional<Response>(const Request&)> check, std::string open_path);
  // Hears of every answered request, before the answer is sent; the route is the pattern, "" for an unknown path or a
  // wrong method.
  void observe(std::function<void(const Request&, int status)> observer);

  // Binds before run(), so that a taken port is an Error at once ("listen on 127.0.0.1:10998: Address already in
  // use"). May be called for several addresses; "" is every interface, port 0 a free one. Without SO_REUSEPORT.
  // Returns the port.
  int bind(const std::string& address, int port);

  // Serves until stop(): accepts on this thread, and has others for the connections that have something to say.
  void run();
  // Stops accepting and lets requests in flight finish; run() returns when they have. From any thread.
  void stop();
  // Breaks every open connection off, idle and busy ones. From any thread.
  void close_connections();

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace dstack::http
