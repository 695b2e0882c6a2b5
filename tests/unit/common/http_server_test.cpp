#include "common/http/server.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <latch>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <tuple>
#include <utility>

#include "common/error.h"
#include "common/json/object_reader.h"
#include "tests/support/raw_http.h"
#include "tests/support/running_server.h"

using namespace dstack;
using test::body_of;
using test::RawConnection;
using test::status_of;

namespace {

struct Running : test::RunningServer {
  using RunningServer::RunningServer;
  std::string ask(const std::string& request) const {
    RawConnection connection(port());
    connection.send(request);
    return connection.read_answer();
  }
};

std::string get(const std::string& path) { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"; }

std::string post(const std::string& path, const std::string& body, const std::string& type = "application/json") {
  return "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Type: " + type +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

void add_echo(http::Server& server) {
  server.post_json("/echo/{id}", [](const http::Request& request) {
    return http::Response::json({{"id", request.path_parameters.at("id")}, {"body", request.body}});
  });
}

}  // namespace

TEST_CASE("a route answers with its handler's JSON") {
  http::Server server;
  add_echo(server);
  const Running running(server);
  const std::string answer = running.ask(post("/echo/7", "{}"));
  CHECK(status_of(answer) == 200);
  CHECK(answer.contains("Content-Type: application/json"));
  CHECK(body_of(answer) == R"({"body":"{}","id":"7"})");
}

TEST_CASE("a connection that there is no thread for is answered 503, and the others go on") {
  http::Server server({.connections = 1});
  add_echo(server);
  const Running running(server);
  RawConnection first(running.port());
  first.send(post("/echo/7", "{}"));
  CHECK(status_of(first.read_answer()) == 200);
  const std::string refusal = running.ask(post("/echo/7", "{}"));
  CHECK(status_of(refusal) == 503);
  CHECK(refusal.contains("Connection: close"));
  CHECK(body_of(refusal) == "no thread for another connection now\n");
  first.send(post("/echo/8", "{}"));
  CHECK(status_of(first.read_answer()) == 200);
}

TEST_CASE("a method that HTTP servers rarely know is 405, and a malformed request line 400") {
  http::Server server;
  add_echo(server);
  const Running running(server);
  const std::string answer = running.ask("QUERY /echo/7?x=1 HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(status_of(answer) == 405);
  CHECK(answer.contains("Allow: POST"));
  CHECK(status_of(running.ask("QUERY /nothing HTTP/1.1\r\nHost: x\r\n\r\n")) == 404);
  CHECK(status_of(running.ask("echo\r\n\r\n")) == 400);
}

TEST_CASE("a path with a line break is answered like any unknown path") {
  http::Server server;
  add_echo(server);
  const Running running(server);
  const std::string answer = running.ask(post("/none/%0A", "{}"));
  CHECK(status_of(answer) == 404);
  CHECK(answer.contains("Content-Type: text/plain"));
}

TEST_CASE("an unknown path is 404 and a wrong method 405 with what is allowed") {
  http::Server server;
  add_echo(server);
  const Running running(server);
  CHECK(status_of(running.ask(get("/nothing"))) == 404);
  CHECK(status_of(running.ask(post("/nothing", "{}"))) == 404);
  const std::string answer = running.ask(get("/echo/7"));
  CHECK(status_of(answer) == 405);
  CHECK(answer.contains("Allow: POST"));
}

TEST_CASE("an Error in a handler becomes its status and its message on a line") {
  http::Server server;
  server.get("/{kind}", [](const http::Request& request) -> http::Response {
    const std::string& kind = request.path_parameters.at("kind");
    if (kind == "invalid") throw Error(ErrorKind::invalid, "empty id");
    if (kind == "not_found") throw Error(ErrorKind::not_found, "no such task");
    if (kind == "conflict") throw Error(ErrorKind::conflict, "known already");
    throw std::runtime_error("it broke");
  });
  const Running running(server);
  CHECK(status_of(running.ask(get("/invalid"))) == 400);
  CHECK(body_of(running.ask(get("/invalid"))) == "empty id\n");
  CHECK(status_of(running.ask(get("/not_found"))) == 404);
  CHECK(status_of(running.ask(get("/conflict"))) == 409);
  CHECK(status_of(running.ask(get("/other"))) == 500);
}

TEST_CASE("a body beyond the limit is 413, announced or not") {
  http::Server server({.body = 100});
  add_echo(server);
  const Running running(server);
  CHECK(status_of(running.ask(post("/echo/1", std::string(100, 'x')))) == 200);
  CHECK(status_of(running.ask(post("/echo/1", std::string(101, 'x')))) == 413);
  CHECK(status_of(running.ask("POST /echo/1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" +
                              std::string(101, 'x') + "\r\n0\r\n\r\n")) == 413);
  // A size below zero, which would be a very large one where it wraps around.
  for (const char* size : {"-2", "-65", "ffffffffffffffff", "fffffffffffffffe", "10000000000000000"}) {
    const std::string answer = running.ask("POST /echo/1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
                                           std::string(size) + "\r\n" + std::string(200, 'x') + "\r\n0\r\n\r\n");
    CHECK((status_of(answer) == 413 || status_of(answer) == 400));
  }
  CHECK(status_of(running.ask(post("/echo/1", "x"))) == 200);
}

TEST_CASE("a content type that is present and is not JSON is 415") {
  http::Server server;
  add_echo(server);
  const Running running(server);
  CHECK(status_of(running.ask(post("/echo/1", "{}", "text/plain"))) == 415);
  CHECK(status_of(running.ask(post("/echo/1", "{}", "Application/JSON; charset=utf-8"))) == 200);
  CHECK(status_of(running.ask(post("/echo/1", "{}", ""))) == 200);
  CHECK(status_of(running.ask("POST /echo/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")) == 200);
}

TEST_CASE("one connection carries many requests") {
  http::Server server;
  add_echo(server);
  const Running running(server);
  RawConnection connection(running.port());
  for (int i = 0; i < 300; ++i) {
    connection.send(post("/echo/" + std::to_string(i), ""));
    REQUIRE(body_of(connection.read_answer()) == R"({"body":"","id":")" + std::to_string(i) + "\"}");
  }
}

TEST_CASE("requests sent one behind the other are answered in order") {
  http::Server server;
  add_echo(server);
  const Running running(server);
  RawConnection connection(running.port());
  connection.send(post("/echo/1", "a") + post("/echo/2", "b"));
  CHECK(body_of(connection.read_answer()).contains("\"1\""));
  CHECK(body_of(connection.read_answer()).contains("\"2\""));
}

TEST_CASE("idle and half-sent connections do not keep others waiting") {
  http::Server server;
  add_echo(server);
  const Running running(server);
  std::vector<std::unique_ptr<RawConnection>> open;
  for (int i = 0; i < 200; ++i) {
    open.push_back(std::make_unique<RawConnection>(running.port()));
    if (i % 2 == 0) open.back()->send("POST /echo/1 HTTP/1.1\r\nContent-Le");
  }
  CHECK(status_of(running.ask(post("/echo/1", "{}"))) == 200);
  for (auto& connection : open) connection->end_of_input();
}

TEST_CASE("garbage is 400 or an end, and the server lives on") {
  http::Server server;
  add_echo(server);
  const Running running(server);
  for (const std::string& garbage :
       {std::string("\r\n\r\n"), std::string(100, '\0') + "\r\n\r\n",
        std::string("POST /echo/1 HTTP/1.1\r\nContent-Length: -5\r\n\r\n"), std::string("GET / HTTP/9.9\r\n\r\n")}) {
    RawConnection connection(running.port());
    connection.send(garbage);
    connection.end_of_input();
    const int status = status_of(connection.read_all());
    CHECK((status == 0 || status >= 400));
  }
  CHECK(status_of(running.ask(post("/echo/1", "{}"))) == 200);
}

TEST_CASE("a request that cannot be read is answered once, with the reason, and its connection ends") {
  http::Server server;
  add_echo(server);
  const Running running(server);
  std::string headers;
  for (int i = 0; i < 500; ++i) headers += "X-" + std::to_string(i) + ": y\r\n";
  const std::string unknown_method = "QUERY /echo/7 HTTP/1.1\r\nHost: x\r\nX-Y: z\r\n\r\n";
  const std::string two_framings = "POST /echo/1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}";
  for (const auto& [request, status, reason] :
       {std::tuple(std::string("echo\r\n\r\n"), 400, "malformed HTTP request\n"),
        std::tuple("GET /echo/7 HTTP/1.1\r\n" + headers + "\r\n", 400, "malformed HTTP request\n"),
        std::tuple(two_framings, 400, "malformed HTTP request\n"),
        std::tuple(get("/" + std::string(10000, 'x')), 414, "URI Too Long\n"),
        std::tuple(get("/" + std::string(40000, 'x')), 414, "URI Too Long\n"),
        std::tuple(std::string(1 << 20, 'x'), 414, "URI Too Long\n"),
        std::tuple(unknown_method, 405, "Method Not Allowed\n")}) {
    CAPTURE(request.substr(0, 40));
    RawConnection connection(running.port());
    connection.send(request);
    const std::string answer = connection.read_all();
    CHECK(status_of(answer) == status);
    CHECK(answer.contains("Content-Type: text/plain"));
    CHECK(body_of(answer) == reason);
  }
}

TEST_CASE("a streamed answer arrives whole and in chunks") {
  http::Server server;
  server.get("/stream", [](const http::Request&) {
    http::Response response;
    response.stream = [](const http::BodySink& sink) {
      for (int i = 0; i < 3; ++i) sink(std::string(4, static_cast<char>('a' + i)));
    };
    return response;
  });
  const Running running(server);
  RawConnection connection(running.port());
  connection.send("GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  CHECK(body_of(connection.read_all()) == "4\r\naaaa\r\n4\r\nbbbb\r\n4\r\ncccc\r\n0\r\n\r\n");
}

TEST_CASE("an upload is handed on as it arrives, without a limit") {
  http::Server server({.body = 100});
  std::size_t size = 0;
  server.upload("/upload", [&](const http::Request&, http::BodyReader& body) {
    body.read([&](std::string_view piece) { size += piece.size(); });
    return http::Response::empty();
  });
  const Running running(server);
  CHECK(status_of(running.ask(post("/upload", std::string(1 << 20, 'x'), "application/x-tar"))) == 200);
  CHECK(size == 1 << 20);
}

TEST_CASE("a form is handed on as it is") {
  http::Server server;
  std::string content;
  server.upload("/upload", [&](const http::Request& request, http::BodyReader& body) {
    CHECK(request.header("content-type") == "multipart/form-data; boundary=x");
    body.read([&](std::string_view piece) { content += piece; });
    return http::Response::empty();
  });
  server.post("/post", [&](const http::Request& request) { return http::Response::text(200, request.body); });
  const Running running(server);
  const std::string form = "--x\r\n\r\nwords\r\n--x--\r\n";
  CHECK(status_of(running.ask(post("/upload", form, "multipart/form-data; boundary=x"))) == 200);
  CHECK(content == form);
  CHECK(running.ask(post("/post", form, "multipart/form-data; boundary=x")).contains(form));
}

TEST_CASE("a connection goes on after an upload, announced or in chunks") {
  http::Server server;
  std::string content;
  server.upload("/upload", [&](const http::Request&, http::BodyReader& body) {
    body.read([&](std::string_view piece) { content += piece; });
    return http::Response::text(200, std::to_string(std::exchange(content, "").size()));
  });
  const Running running(server);
  RawConnection connection(running.port());
  const std::string large(300'000, 'x');
  // The second request comes with the end of the first one's body.
  connection.send(post("/upload", large, "application/x-tar") + post("/upload", "two", "application/x-tar"));
  CHECK(body_of(connection.read_answer()) == "300000");
  CHECK(body_of(connection.read_answer()) == "3");
  connection.send(
      "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nthree\r\n2\r\n33\r\n0\r\n\r\n");
  CHECK(body_of(connection.read_answer()) == "7");
  connection.send(post("/upload", "", "application/x-tar") + post("/upload", "four", "application/x-tar"));
  CHECK(body_of(connection.read_answer()) == "0");
  CHECK(body_of(connection.read_answer()) == "4");
}

TEST_CASE("what is left of an upload that was refused is not taken for a request") {
  http::Server server;
  std::atomic<int> requests = 0;
  server.upload("/upload", [&](const http::Request&, http::BodyReader& body) -> http::Response {
    ++requests;
    body.read([](std::string_view) { throw Error(ErrorKind::invalid, "refused"); });
    return http::Response::empty();
  });
  const Running running(server);
  RawConnection connection(running.port());
  const std::string hidden = post("/upload", "x", "application/x-tar");
  std::string body(200'000, 'x');
  body += "\r\n\r\n";
  for (int i = 0; i < 100; ++i) body += hidden;
  connection.send(post("/upload", body, "application/x-tar"));
  connection.end_of_input();
  CHECK(status_of(connection.read_all()) == 400);
  CHECK(requests == 1);
}

TEST_CASE("an upload that breaks off is an error for its handler") {
  http::Server server;
  std::latch failed(1);
  server.upload("/upload", [&](const http::Request&, http::BodyReader& body) {
    try {
      body.read([](std::string_view) {});
    } catch (const Error&) {
      failed.count_down();
      throw;
    }
    return http::Response::empty();
  });
  const Running running(server);
  RawConnection connection(running.port());
  connection.send("POST /upload HTTP/1.1\r\nContent-Length: 1000\r\n\r\nhalf");
  connection.end_of_input();
  failed.wait();
}

TEST_CASE("the guard comes before every route, unknown paths and WebSockets too") {
  http::Server server;
  server.get("/open", [](const http::Request&) { return http::Response::empty(); });
  server.websocket("/socket", [](const http::Request&, http::WebSocketConnection) {});
  server.guard([](const http::Request& request) -> std::optional<http::Response> {
    if (request.header("origin")) return http::Response::text(403, "no\n");
    return std::nullopt;
  });
  const Running running(server);
  CHECK(status_of(running.ask("GET /open HTTP/1.1\r\nOrigin: x\r\n\r\n")) == 403);
  CHECK(status_of(running.ask("GET /nothing HTTP/1.1\r\nOrigin: x\r\n\r\n")) == 403);
  const std::string upgrade =
      "GET /socket HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
  CHECK(status_of(running.ask(upgrade + "Origin: x\r\n\r\n")) == 403);
  CHECK(status_of(running.ask(upgrade + "\r\n")) == 101);
}

TEST_CASE("a connection's other end is looked at until it is let in, then no more") {
  http::Server server;
  server.get("/open", [](const http::Request&) { return http::Response::empty(); });
  server.get("/shut", [](const http::Request&) { return http::Response::empty(); });
  std::atomic<bool> may_call = false;
  std::atomic<int> looks = 0;
  http::Request seen;
  const auto look = [&](const http::Request& request) -> std::optional<http::Response> {
    ++looks;
    seen = request;
    if (request.path == "/broken") throw Error(ErrorKind::internal, "cannot look");
    return may_call ? std::nullopt : std::optional(http::Response::text(403, "no\n"));
  };
  server.guard_peers(look, "/open");
  const Running running(server);
  RawConnection connection(running.port());
  const auto ask = [&connection](const std::string& path) {
    connection.send(get(path));
    return status_of(connection.read_answer());
  };
  CHECK(ask("/open") == 200);
  CHECK(looks == 0);
  // A refusal ends its connection.
  CHECK(status_of(running.ask(get("/shut"))) == 403);
  CHECK(status_of(running.ask(get("/nothing"))) == 403);
  CHECK(status_of(running.ask(get("/broken"))) == 500);
  CHECK(looks == 3);
  CHECK(seen.peer_address == "127.0.0.1");
  CHECK(seen.peer_port != 0);
  CHECK(seen.local_port == running.port());
  may_call = true;
  CHECK(ask("/shut") == 200);
  may_call = false;
  CHECK(ask("/shut") == 200);
  CHECK(ask("/nothing") == 404);
  CHECK(looks == 4);
  // The next connection is another one, on the same thread or not.
  CHECK(status_of(running.ask(get("/shut"))) == 403);
}

TEST_CASE("a request whose connection was broken off while its sender was looked at is not served") {
  http::Server server;
  std::atomic<bool> served = false;
  server.get("/shut", [&](const http::Request&) {
    served = true;
    return http::Response::empty();
  });
  os::UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  std::latch looked(1);
  const auto look = [&](const http::Request&) -> std::optional<http::Response> {
    const linger abort{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    client.reset();
    looked.count_down();
    return std::nullopt;
  };
  server.guard_peers(look, "");
  {
    const Running running(server);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(running.port()));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    const std::string request = get("/shut");
    REQUIRE(::write(client.get(), request.data(), request.size()) == static_cast<ssize_t>(request.size()));
    looked.wait();
  }
  CHECK_FALSE(served);
}

TEST_CASE("a WebSocket outlives its request and the server in its owner's hands") {
  std::optional<http::WebSocketConnection> taken;
  std::latch arrived(1);
  std::unique_ptr<RawConnection> client;
  {
    http::Server server;
    server.websocket("/socket", [&](const http::Request&, http::WebSocketConnection upgraded) {
      taken = std::move(upgraded);
      arrived.count_down();
    });
    const Running running(server);
    client = std::make_unique<RawConnection>(running.port());
    client->send(
        "GET /socket HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\nearly");
    arrived.wait();
  }
  CHECK(taken->received == "early");
  CHECK(::write(taken->socket.get(), "late", 4) == 4);
  taken->socket.reset();
  CHECK(client->read_all().ends_with("\r\n\r\nlate"));
}

TEST_CASE("a WebSocket's path without an upgrade is 400") {
  http::Server server;
  server.websocket("/socket", [](const http::Request&, http::WebSocketConnection) {});
  const Running running(server);
  CHECK(status_of(running.ask(get("/socket"))) == 400);
  CHECK(status_of(running.ask("GET /socket HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")) == 400);
}

TEST_CASE("a port that is taken is an error at once that names it") {
  http::Server first;
  const int port = first.bind("127.0.0.1", 0);
  http::Server second;
  try {
    second.bind("127.0.0.1", port);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(std::string(error.what()) == "listen on 127.0.0.1:" + std::to_string(port) + ": Address already in use");
  }
}

TEST_CASE("a stop lets the request in flight finish and closes idle connections") {
  http::Server server;
  std::latch arrived(1);
  std::latch release(1);
  server.get("/slow", [&](const http::Request&) {
    arrived.count_down();
    release.wait();
    return http::Response::text(200, "finished");
  });
  const int port = server.bind("127.0.0.1", 0);
  std::thread serving([&] { server.run(); });
  RawConnection idle(port);
  RawConnection busy(port);
  busy.send(get("/slow"));
  arrived.wait();
  server.stop();
  release.count_down();
  CHECK(body_of(busy.read_answer()) == "finished");
  CHECK(idle.read_all().empty());
  serving.join();
}

TEST_CASE("the observer hears of every answer with its route") {
  http::Server server;
  add_echo(server);
  std::vector<std::pair<std::string, int>> heard;
  server.observe([&](const http::Request& request, int status) { heard.emplace_back(request.route, status); });
  {
    const Running running(server);
    running.ask(post("/echo/1", "{}"));
    running.ask(get("/nothing"));
  }
  CHECK(heard == std::vector<std::pair<std::string, int>>{{"/echo/{id}", 200}, {"", 404}});
}

TEST_CASE("a refusal of the guard is heard of by its route, too") {
  http::Server server;
  add_echo(server);
  server.guard([](const http::Request&) { return std::optional(http::Response::text(403, "no\n")); });
  std::vector<std::pair<std::string, int>> heard;
  server.observe([&](const http::Request& request, int status) { heard.emplace_back(request.route, status); });
  {
    const Running running(server);
    running.ask(post("/echo/1", "{}"));
    running.ask(get("/nothing"));
  }
  CHECK(heard == std::vector<std::pair<std::string, int>>{{"/echo/{id}", 403}, {"", 403}});
}

TEST_CASE("a connection ends with an answer that says so, whatever its client still has to send") {
  // In place of the limits that would end it too.
  http::Server server({.keep_alive = std::chrono::hours(24), .upload_silence = std::chrono::hours(24)});
  server.upload("/refused", [](const http::Request&, http::BodyReader&) -> http::Response {
    throw Error(ErrorKind::conflict, "not now");
  });
  const Running running(server);
  SECTION("an upload whose body has only begun") {
    RawConnection connection(running.port());
    connection.send("POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nbegin");
    const std::string answer = connection.read_all();
    CHECK(status_of(answer) == 409);
    CHECK(answer.contains("Connection: close"));
  }
  SECTION("a request without a body") {
    RawConnection connection(running.port());
    connection.send(get("/nothing"));
    CHECK(status_of(connection.read_all()) == 404);
  }
}

TEST_CASE("a client that sends all of a refused body before it reads gets the answer") {
  http::Server server;
  server.upload("/refused", [](const http::Request&, http::BodyReader&) -> http::Response {
    throw Error(ErrorKind::conflict, "not now");
  });
  const Running running(server);
  RawConnection connection(running.port());
  const std::string body(std::size_t{8} << 20, 'x');
  connection.send("POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n");
  connection.send(body);
  CHECK(status_of(connection.read_all()) == 409);
}

TEST_CASE("a request that is not admitted is refused before its body and its type are looked at") {
  http::Server server;
  server.post_json(
      "/submit", [](const http::Request&) { throw Error(ErrorKind::conflict, "it runs already"); },
      [](const http::Request&) { return http::Response::empty(); });
  const Running running(server);
  CHECK(status_of(running.ask(post("/submit", "{", "text/plain"))) == 409);
  CHECK(status_of(running.ask("POST /submit HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")) == 409);
}
