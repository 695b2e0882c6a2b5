#include "common/http/server.h"

#include <sys/socket.h>

#include <spdlog/spdlog.h>
#include <algorithm>
#include <deque>
#include <format>
#include <variant>

#include "common/error.h"
#include "common/http/connections.h"
#include "common/http/httplib_messages.h"
#include "common/http/listener.h"
#include "common/http/router.h"
#include "common/reason.h"
#include "common/text/letter_case.h"
#include "common/text/number.h"
#include "common/text/trim.h"

namespace dstack::http {

namespace {

using std::chrono::seconds;

// From a request's first byte to the end of its body, uploads excepted.
constexpr seconds kRequestLimit{30};
// For a client that goes on sending a body that was refused, until it has noticed.
constexpr seconds kDrainLimit{10};
constexpr seconds kDrainSilence{2};
constexpr std::size_t kRefusedKept = 16;
// A thread stays with its connection for so long after an answer: who asks one thing after the other is served without
// waking another thread, and without two more system calls for each request.
constexpr std::chrono::milliseconds kLinger{5};

int status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::invalid: return 400;
    case ErrorKind::forbidden: return 403;
    case ErrorKind::not_found: return 404;
    case ErrorKind::conflict: return 409;
    case ErrorKind::too_large: return 413;
    case ErrorKind::unsupported_media: return 415;
    case ErrorKind::unavailable: return 502;
    case ErrorKind::exhausted: return 503;
    case ErrorKind::cancelled:
    case ErrorKind::timed_out:
    case ErrorKind::denied:
    case ErrorKind::internal: break;
  }
  return 500;
}

Response error_response(int status, std::string_view message) {
  return Response::text(status, std::string(message) + "\n");
}

bool is_json(const Request& request) {
  const auto type = request.header("content-type");
  // Some clients send an empty one.
  if (!type || type->empty()) return true;
  return text::lower_case(text::trim(type->substr(0, type->find(';')))) == "application/json";
}

}  // namespace

// httplib parses requests and writes answers; which route a request belongs to, limits and connections are ours.
class Server::Implementation : public httplib::Server {
 public:
  struct Route {
    std::string pattern;
    std::variant<http::Handler, UploadHandler, http::WebSocketHandler> handler;
    bool json = false;
    std::function<void(const http::Request&)> admit;  // may be absent
  };

  explicit Implementation(ServerLimits limits)
      : limits_(limits), connections_(limits.connections, limits.keep_alive, [this](Connection& connection) {
          return converse(connection);
        }) {
    // httplib takes a server without a socket for one that is shutting down; it never touches this one.
    svr_sock_ = listener.stopped_fd();
    set_payload_max_length(SIZE_MAX);
    set_keep_alive_max_count(SIZE_MAX);
    set_keep_alive_timeout(limits.keep_alive.count());
    set_websocket_ping_interval(0);
    set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      return without_body(request, response);
    });
    const auto with_body = [this](const httplib::Request& request, httplib::Response& response,
                                  const httplib::ContentReader& reader) { answer(request, response, &reader); };
    // A dot would leave out line breaks, which a path may hold.
    constexpr const char* any_path = R"([\s\S]*)";
    Post(any_path, with_body);
    Put(any_path, with_body);
    Patch(any_path, with_body);
    Delete(any_path, with_body);
    // What fails in httplib itself, before or after answer().
    set_exception_handler([](const httplib::Request&, httplib::Response& response, const std::exception_ptr& failure) {
      response.status = 500;
      try {
        std::rethrow_exception(failure);
      } catch (const std::exception& error) {
        response.set_content(reason_of(error) + "\n", "text/plain");
      }
    });
    set_error_handler([this](const httplib::Request& request, httplib::Response& response) {
      // All refusals but httplib's own have a body.
      if (!response.body.empty()) return;
      // The rest of the request is unread, and must not be taken for another one.
      current_->unread = true;
      to_httplib(refusal_of_httplib(request, response), response, current_->stream);
    });
  }

  void add(std::string method, Route route) {
    if (std::holds_alternative<http::WebSocketHandler>(route.handler)) {
      WebSocket(route.pattern, [this, handler = std::get<http::WebSocketHandler>(route.handler)](
                                   const httplib::Request& source, httplib::ws::WebSocket&) {
        http::Request request = from_httplib(source);
        request.route = source.path;
        connections_.give_away(*current_);
        handler(request, current_->stream.release());
        if (observer) observer(request, 101);
      });
    }
    router_.add(std::move(method), route.pattern);
    routes_.push_back(std::move(route));
  }

  // On the accepting thread.
  void serve(os::UniqueFd socket) {
    auto connection = std::make_unique<Connection>(std::move(socket), limits_.write_timeout);
    if (connections_.add(connection)) {
      refusing_ = false;
    } else {
      refuse_connection(std::move(connection->stream.release().socket));
    }
  }

  void run() {
    listener.run([this](os::UniqueFd socket) { serve(std::move(socket)); },
                 [this] { return connections_.end_silent(); });
    connections_.finish();
  }

  void close_connections() { connections_.break_off(); }

  Listener listener;
  std::function<std::optional<http::Response>(const http::Request&)> guard;
  std::function<std::optional<http::Response>(const http::Request&)> peer_guard;
  std::string open_path;
  std::function<void(const http::Request&, int)> observer;

 private:
  // Answers 503 on the accepting thread, without waiting for anything. The connection stays open for a while, so that a
  // peer that is still sending its request can read the answer.
  void refuse_connection(os::UniqueFd socket) {
    static constexpr std::string_view kAnswer =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 37\r\nRetry-After: 1\r\n"
        "Connection: close\r\n\r\nno thread for another connection now\n";
    spdlog::log(refusing_ ? spdlog::level::debug : spdlog::level::warn,
                "No thread for another connection: it is refused with 503");
    refusing_ = true;
    const linger at_once{.l_onoff = 0, .l_linger = 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    [[maybe_unused]] const ssize_t sent =
        ::send(socket.get(), kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    ::shutdown(socket.get(), SHUT_WR);
    refused_.push_back(std::move(socket));
    if (refused_.size() > kRefusedKept) refused_.pop_front();
  }

  // Answers what has come over a connection; returns whether more may come.
  bool converse(Connection& connection) {
    current_ = &connection;
    SocketStream& stream = connection.stream;
    bool ends = false;
    do {
      stream.expect_request_within(kRequestLimit);
      try {
        bool closes = false;
        ends = !process_request(stream, connection.remote_address, connection.remote_port, connection.local_address,
                                connection.local_port, false, closes, nullptr) ||
               closes || stream.ending();
        if (ends && !stream.has_written() && stream.bytes_read() >= CPPHTTPLIB_MAX_LINE_LENGTH) {
          refuse_long_request_line(connection);
        }
      } catch (const std::exception& error) {
        spdlog::warn("A connection from {}:{} ended: {}", connection.remote_address, connection.remote_port,
                     error.what());
        ends = true;
      }
      if (connection.unread) {
        stream.end_after_answer(kDrainSilence, kDrainLimit);
        stream.drain();
        ends = true;
      }
    } while (!ends && stream.is_readable_within(kLinger));
    stream.rest();
    if (ends && stream.socket() >= 0) ::shutdown(stream.socket(), SHUT_RDWR);
    return !ends;
  }

  // httplib gives such a request up without a word.
  static void refuse_long_request_line(Connection& connection) {
    static constexpr std::string_view kAnswer =
        "HTTP/1.1 414 URI Too Long\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: close\r\n\r\n"
        "URI Too Long\n";
    connection.stream.write(kAnswer.data(), kAnswer.size());
    connection.unread = true;
  }

  // httplib calls this first for every request, before it reads a body and before it upgrades to a WebSocket.
  HandlerResponse without_body(const httplib::Request& request, httplib::Response& response) {
    if (asks_for_websocket(request) && is_websocket(request.path)) {
      const auto refusal = refuse(from_httplib(request));
      if (!refusal) return HandlerResponse::Unhandled;
      current_->stream.end_after_answer(kDrainSilence, kDrainLimit);
      to_httplib(*refusal, response, current_->stream);
      return HandlerResponse::Handled;
    }
    const bool has_body =
        request.method == "POST" || request.method == "PUT" || request.method == "PATCH" || request.method == "DELETE";
    if (has_body) return HandlerResponse::Unhandled;
    answer(request, response, nullptr);
    return HandlerResponse::Handled;
  }

  std::optional<http::Response> refuse(const http::Request& request) const {
    if (guard) {
      if (auto refusal = guard(request)) return refusal;
    }
    if (!peer_guard || current_->peer_may_call || request.path == open_path) return std::nullopt;
    if (auto refusal = peer_guard(request)) return refusal;
    // Once it is broken off, its addresses may be another connection's, which was looked at in its place.
    if (current_->stream.was_reset()) throw Error(ErrorKind::invalid, "the connection was reset");
    current_->peer_may_call = true;
    return std::nullopt;
  }

  bool is_websocket(const std::string& path) const {
    const auto found = router_.find("GET", path);
    return found.match && std::holds_alternative<http::WebSocketHandler>(routes_[found.match->route].handler);
  }

  void answer(const httplib::Request& source, httplib::Response& target, const httplib::ContentReader* reader) {
    http::Request request = from_httplib(source);
    http::Response response;
    try {
      response = respond(source, request, target, reader);
    } catch (const Error& error) {
      response = error_response(status_of(error.kind()), error.what());
    } catch (const std::exception& error) {
      spdlog::error("{} {} failed: {}", request.method, printable(request.path), reason_of(error));
      response = error_response(500, reason_of(error));
    }
    if (observer) observer(request, response.status);
    // httplib has told the peer that the connection ends, and reads what is left of the body.
    if (response.status >= 400) current_->stream.end_after_answer(kDrainSilence, kDrainLimit);
    to_httplib(std::move(response), target, current_->stream);
  }

  http::Response refusal_of_httplib(const httplib::Request& request, httplib::Response& response) const {
    if (response.status != 400) return error_response(response.status, httplib::status_message(response.status));
    // httplib refuses a method that it does not know as a malformed request, before it looks at the path.
    if (!request.path.empty() || !is_other_method(request)) return error_response(400, "malformed HTTP request");
    const std::string path = request.target.substr(0, request.target.find('?'));
    return not_found(router_.find(request.method, path), response);
  }

  static http::Response not_found(const Router::Result& found, httplib::Response& target) {
    if (found.miss == Router::Miss::unknown_path) return error_response(404, "404 page not found");
    target.set_header("Allow", found.allowed);
    return error_response(405, "Method Not Allowed");
  }

  http::Response respond(const httplib::Request& source, http::Request& request, httplib::Response& target,
                         const httplib::ContentReader* reader) {
    Router::Result found = router_.find(request.method, request.path);
    // For whoever counts refusals by route.
    if (found.match) request.route = routes_[found.match->route].pattern;
    if (auto refusal = refuse(request)) return *std::move(refusal);
    if (!found.match) return not_found(found, target);
    const Route& route = routes_[found.match->route];
    request.path_parameters = std::move(found.match->parameters);
    if (std::holds_alternative<http::WebSocketHandler>(route.handler)) {
      return error_response(400, "Bad Request: this is a WebSocket, a request for it asks for an upgrade");
    }
    if (const auto* upload = std::get_if<UploadHandler>(&route.handler)) {
      current_->stream.expect_steady_data(limits_.upload_silence);
      UploadBody body(source, *reader, current_->stream);
      return (*upload)(request, body);
    }
    if (route.admit) route.admit(request);
    if (route.json && !is_json(request)) {
      throw Error(ErrorKind::unsupported_media, "Content-Type header is not application/json");
    }
    if (reader != nullptr) {
      keep_from_parsing_forms(source);
      read_body(request, *reader);
    }
    return std::get<http::Handler>(route.handler)(request);
  }

  void read_body(http::Request& request, const httplib::ContentReader& reader) const {
    const auto too_large = [this] {
      return Error(ErrorKind::too_large, std::format("the request's body is larger than {} bytes", limits_.body));
    };
    if (const auto announced = request.header("content-length")) {
      // httplib judges malformed numbers; one that does not fit is too large.
      const auto size = text::parse_number<std::uint64_t>(*announced);
      if (size ? *size > limits_.body : text::is_digits(*announced)) throw too_large();
    }
    bool over = false;
    const bool complete = reader([&](const char* data, std::size_t size) {
      over = request.body.size() + size > limits_.body;
      if (!over) request.body.append(data, size);
      return !over;
    });
    if (over) throw too_large();
    if (!complete) throw Error(ErrorKind::invalid, "the request's body broke off");
  }

  // The connection that this thread serves.
  static thread_local Connection* current_;

  const ServerLimits limits_;
  Router router_;
  std::vector<Route> routes_;
  // Of the accepting thread.
  bool refusing_ = false;
  std::deque<os::UniqueFd> refused_;
  Connections connections_;  // last: its threads use the others
};

thread_local Connection* Server::Implementation::current_ = nullptr;

Server::Server(ServerLimits limits) : implementation_(std::make_unique<Implementation>(limits)) {}
Server::~Server() = default;

void Server::get(std::string pattern, Handler handler) {
  implementation_->add("GET", {.pattern = std::move(pattern), .handler = std::move(handler)});
}

void Server::post(std::string pattern, Handler handler) {
  implementation_->add("POST", {.pattern = std::move(pattern), .handler = std::move(handler)});
}

void Server::post_json(std::string pattern, Handler handler) {
  implementation_->add("POST", {.pattern = std::move(pattern), .handler = std::move(handler), .json = true});
}

void Server::post_json(std::string pattern, std::function<void(const Request&)> admit, Handler handler) {
  implementation_->add(
      "POST", {.pattern = std::move(pattern), .handler = std::move(handler), .json = true, .admit = std::move(admit)});
}

void Server::upload(std::string pattern, UploadHandler handler) {
  implementation_->add("POST", {.pattern = std::move(pattern), .handler = std::move(handler)});
}

void Server::websocket(std::string pattern, WebSocketHandler handler) {
  implementation_->add("GET", {.pattern = std::move(pattern), .handler = std::move(handler)});
}

void Server::guard(std::function<std::optional<Response>(const Request&)> check) {
  implementation_->guard = std::move(check);
}

void Server::guard_peers(std::function<std::optional<Response>(const Request&)> check, std::string open_path) {
  implementation_->peer_guard = std::move(check);
  implementation_->open_path = std::move(open_path);
}

void Server::observe(std::function<void(const Request&, int)> observer) {
  implementation_->observer = std::move(observer);
}

int Server::bind(const std::string& address, int port) { return implementation_->listener.bind(address, port); }

void Server::run() { implementation_->run(); }

void Server::stop() { implementation_->listener.stop(); }

void Server::close_connections() { implementation_->close_connections(); }

}  // namespace dstack::http
