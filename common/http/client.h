#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/clock.h"

namespace dstack::http {

// Where a client sends its requests.
struct Endpoint {
  std::string base_url;     // "http://127.0.0.1:10998", "http://docker" with a socket, "https://host:2376"
  std::string unix_socket;  // path; empty for TCP
  // TLS files; empty: the system's certificates, no client certificate.
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  bool verify_peer = true;
  bool use_proxy = true;  // a proxy of the environment, where one applies
};

struct ClientRequest {
  std::string method = "GET";
  std::string path;  // with its query, already encoded; appended to the base URL
  std::string body;  // sent as application/json unless headers say otherwise
  // In place of a body, one of unknown length that is read as it is sent: fills the buffer and returns how many bytes,
  // 0 at its end. An exception ends the transfer and comes out of it.
  std::function<std::size_t(std::span<char>)> body_source = nullptr;
  std::vector<std::string> headers;  // "Name: value"
  std::chrono::milliseconds connect_limit{5000};
  std::chrono::milliseconds total_limit{0};  // 0: none; by the client's clock
};

struct ClientResponse {
  int status = 0;
  std::map<std::string, std::string, std::less<>> headers;  // names in lower case
  std::string body;                                         // empty when it was streamed
};

struct UpgradeAnswer;

// An HTTP client over libcurl that keeps its connections, but for POST, which must never be sent twice. All members may
// be called from any thread; each call blocks until its answer is there, the limit is reached (Error, timed_out) or
// `stop` is requested (Error, cancelled, at once). No connection, a broken one or nonsense instead of HTTP: Error
// (unavailable) with the URL and the reason. An HTTP error status is an answer, not an Error. Redirects are not
// followed. A proxy of the environment is used for other hosts, never for a Unix socket or the loopback interface.
class Client {
 public:
  explicit Client(Endpoint endpoint, os::Clock& clock = os::system_clock());
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  ClientResponse send(const ClientRequest& request, const std::stop_token& stop = {});

  // Calls `take` with each piece of a 2xx answer's body as it arrives; another status' body is collected as in send.
  // `take` returns false to end the transfer, which is then not an error.
  ClientResponse stream(const ClientRequest& request, const std::function<bool(std::string_view)>& take,
                        const std::stop_token& stop = {});

  // Asks for the connection itself: see upgraded.h.
  UpgradeAnswer upgrade(const ClientRequest& request, const std::stop_token& stop = {});

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

// A URL as it may be logged, quoted: without its query, which is a key where the URL is presigned, and without a login.
std::string loggable_url(std::string_view url);

// Percent-encodes everything but letters, digits and "-._~".
std::string encode_url_component(std::string_view text);

}  // namespace dstack::http
