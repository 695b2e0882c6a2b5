#include "common/http/client.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <latch>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "common/error.h"
#include "common/http/server.h"
#include "common/os/unique_fd.h"
#include "tests/support/fake_clock.h"
#include "tests/support/no_more_descriptors.h"
#include "tests/support/running_server.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

struct Running : test::RunningServer {
  using RunningServer::RunningServer;
  http::Endpoint endpoint() const { return {.base_url = "http://127.0.0.1:" + std::to_string(port())}; }
};

// Accepts connections on a Unix socket and says `answer` to each, whatever it is asked; then holds it open, or closes
// it.
class Oddity {
 public:
  Oddity(std::string answer, bool hold) {
    path_ = folder_ / "odd.sock";
    listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(static_cast<char*>(address.sun_path), sizeof(address.sun_path) - 1);
    REQUIRE(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    REQUIRE(::listen(listener_.get(), 8) == 0);
    thread_ = std::thread([this, text = std::move(answer), hold] {
      std::vector<os::UniqueFd> held;
      while (true) {
        os::UniqueFd socket(::accept(listener_.get(), nullptr, nullptr));
        if (!socket) return;
        std::array<char, 4096> request{};
        if (::recv(socket.get(), request.data(), request.size(), 0) <= 0) continue;
        (void)::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
        if (hold) held.push_back(std::move(socket));
      }
    });
  }
  Oddity(const Oddity&) = delete;
  Oddity& operator=(const Oddity&) = delete;
  ~Oddity() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }

  http::Endpoint endpoint() const { return {.base_url = "http://odd", .unix_socket = path_}; }

 private:
  test::TemporaryDirectory folder_;
  std::string path_;
  os::UniqueFd listener_;
  std::thread thread_;
};

ErrorKind kind_of_failure(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.kind();
  }
  FAIL("no error");
  return ErrorKind::internal;
}

}  // namespace

TEST_CASE("a client sends method, path, query, headers and body as they are") {
  http::Server server;
  server.post("/a/{id}", [](const http::Request& request) {
    return http::Response::json({{"id", request.path_parameters.at("id")},
                                 {"q", request.query.at("q")},
                                 {"x", *request.header("x-own")},
                                 {"type", *request.header("content-type")},
                                 {"body", request.body}});
  });
  const Running running(server);
  http::Client client(running.endpoint());
  const http::ClientResponse response =
      client.send({.method = "POST",
                   .path = "/a/" + http::encode_url_component("1 %2") + "?q=" + http::encode_url_component("ä&b"),
                   .body = "{\"k\": 1}",
                   .headers = {"X-Own: v"}});
  CHECK(response.status == 200);
  const auto answer = nlohmann::json::parse(response.body);
  CHECK(answer["id"] == "1 %2");
  CHECK(answer["q"] == "ä&b");
  CHECK(answer["x"] == "v");
  CHECK(answer["type"] == "application/json");
  CHECK(answer["body"] == "{\"k\": 1}");
}

TEST_CASE("a POST without a body names no content type") {
  http::Server server;
  server.post("/", [](const http::Request& request) {
    return http::Response::text(200, request.header("content-type").value_or("none"));
  });
  const Running running(server);
  http::Client client(running.endpoint());
  CHECK(client.send({.method = "POST", .path = "/"}).body == "none");
}

TEST_CASE("an error status is an answer with its headers and body") {
  http::Server server;
  server.get("/", [](const http::Request&) -> http::Response { throw Error(ErrorKind::not_found, "no such thing"); });
  const Running running(server);
  http::Client client(running.endpoint());
  const http::ClientResponse response = client.send({.path = "/"});
  CHECK(response.status == 404);
  CHECK(response.body == "no such thing\n");
  CHECK(response.headers.at("content-type") == "text/plain; charset=utf-8");
}

TEST_CASE("requests one after another share a connection") {
  http::Server server;
  std::set<int> ports;
  server.get("/", [&ports](const http::Request& request) {
    ports.insert(request.peer_port);
    return http::Response::empty();
  });
  const Running running(server);
  http::Client client(running.endpoint());
  for (int i = 0; i < 5; ++i) client.send({.path = "/"});
  CHECK(ports.size() == 1);
}

TEST_CASE("a streamed answer arrives in pieces while it is made") {
  http::Server server;
  std::latch first_seen(1);
  server.get("/", [&first_seen](const http::Request&) {
    http::Response response;
    response.stream = [&first_seen](const http::BodySink& sink) {
      sink("first");
      first_seen.wait();  // the second piece is made only when the first has arrived
      sink("second");
    };
    return response;
  });
  const Running running(server);
  http::Client client(running.endpoint());
  std::string all;
  const http::ClientResponse response = client.stream({.path = "/"}, [&](std::string_view piece) {
    if (all.empty()) first_seen.count_down();
    all += piece;
    return true;
  });
  CHECK(response.status == 200);
  CHECK(response.body.empty());
  CHECK(all == "firstsecond");
}

TEST_CASE("a taker that has enough ends the transfer") {
  http::Server server;
  server.get("/", [](const http::Request&) {
    http::Response response;
    response.stream = [](const http::BodySink& sink) {
      while (sink("again and again")) {
      }
    };
    return response;
  });
  const Running running(server);
  http::Client client(running.endpoint());
  int pieces = 0;
  CHECK(client.stream({.path = "/"}, [&pieces](std::string_view) { return ++pieces < 3; }).status == 200);
  CHECK(pieces == 3);
}

TEST_CASE("the body of an error is collected, not streamed") {
  http::Server server;
  server.get("/", [](const http::Request&) { return http::Response::text(500, "broken"); });
  const Running running(server);
  http::Client client(running.endpoint());
  bool taken = false;
  const http::ClientResponse response =
      client.stream({.path = "/"}, [&taken](std::string_view) { return taken = true; });
  CHECK(response.status == 500);
  CHECK(response.body == "broken");
  CHECK_FALSE(taken);
}

TEST_CASE("what the taker throws reaches the caller") {
  http::Server server;
  server.get("/", [](const http::Request&) { return http::Response::text(200, "x"); });
  const Running running(server);
  http::Client client(running.endpoint());
  CHECK_THROWS_WITH(
      client.stream({.path = "/"},
                    [](std::string_view) -> bool { throw Error(ErrorKind::invalid, "I do not like it"); }),
      "I do not like it");
  CHECK(client.send({.path = "/"}).body == "x");
}

TEST_CASE("a stop ends a request that waits for its answer") {
  const Oddity silent("", true);
  http::Client client(silent.endpoint());
  std::stop_source stop;
  std::latch asking(1);
  std::thread stopper([&] {
    asking.wait();
    stop.request_stop();
  });
  CHECK(kind_of_failure([&] {
          asking.count_down();
          client.send({.path = "/"}, stop.get_token());
        }) == ErrorKind::cancelled);
  stopper.join();
}

TEST_CASE("a stop ends a stream between two pieces") {
  const Oddity half("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", true);
  http::Client client(half.endpoint());
  std::stop_source stop;
  CHECK(kind_of_failure([&] {
          client.stream(
              {.path = "/"},
              [&stop](std::string_view) {
                stop.request_stop();
                return true;
              },
              stop.get_token());
        }) == ErrorKind::cancelled);
}

TEST_CASE("a stop that came before is an error at once") {
  const Oddity silent("", true);
  http::Client client(silent.endpoint());
  std::stop_source stop;
  stop.request_stop();
  CHECK(kind_of_failure([&] { client.send({.path = "/"}, stop.get_token()); }) == ErrorKind::cancelled);
}

TEST_CASE("the total limit is counted by the client's clock") {
  const Oddity silent("", true);
  test::FakeClock clock;
  http::Client client(silent.endpoint(), clock);
  std::thread turner([&clock] {
    clock.await_waiters();
    clock.advance(9s);
    clock.advance(1s);
  });
  std::string message;
  try {
    client.send({.path = "/x?secret=1", .total_limit = 10s});
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::timed_out);
    message = error.what();
  }
  turner.join();
  CHECK_THAT(message, ContainsSubstring("GET /x at unix://"));
  CHECK_THAT(message, ContainsSubstring("no answer within 10 s"));
}

TEST_CASE("a limit that was met is not left for the next request") {
  http::Server server;
  server.get("/", [](const http::Request&) { return http::Response::text(200, "x"); });
  const Running running(server);
  test::FakeClock clock;
  http::Client client(running.endpoint(), clock);
  CHECK(client.send({.path = "/", .total_limit = 1s}).status == 200);
  clock.advance(1h);
  CHECK(client.send({.path = "/"}).status == 200);
  CHECK(client.send({.path = "/", .total_limit = 1s}).status == 200);
}

TEST_CASE("no socket there is an error that names it and the reason") {
  http::Client client({.base_url = "http://docker", .unix_socket = "/nonexistent/docker.sock"});
  try {
    client.send({.path = "/_ping"});
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::unavailable);
    CHECK_THAT(error.what(), ContainsSubstring("unix:///nonexistent/docker.sock"));
    CHECK_THAT(error.what(), ContainsSubstring("No such file or directory"));
  }
}

TEST_CASE("a socket that cannot be made is an error with the system's reason") {
  http::Server server;
  const Running running(server);
  http::Client client(running.endpoint());
  // Its session has what else it needs.
  client.send({.path = "/"});
  const test::NoMoreDescriptors none;
  // POST has a connection of its own.
  CHECK_THROWS_WITH(client.send({.method = "POST", .path = "/"}),
                    ContainsSubstring("make a socket: Too many open files"));
}

TEST_CASE("a port where nobody listens is an error that says so") {
  http::Client client({.base_url = "http://127.0.0.1:1"});
  CHECK_THROWS_WITH(client.send({.path = "/"}),
                    ContainsSubstring("http://127.0.0.1:1") && ContainsSubstring("refused"));
}

TEST_CASE("nonsense instead of HTTP is an error") {
  const Oddity nonsense("ohai\r\n\r\n", false);
  http::Client client(nonsense.endpoint());
  CHECK(kind_of_failure([&] { client.send({.path = "/"}); }) == ErrorKind::unavailable);
}

TEST_CASE("an answer that breaks off in its middle is an error") {
  const Oddity half("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", false);
  http::Client client(half.endpoint());
  CHECK(kind_of_failure([&] { client.send({.path = "/"}); }) == ErrorKind::unavailable);
  std::string taken;
  CHECK(kind_of_failure([&] {
          client.stream({.path = "/"}, [&taken](std::string_view piece) {
            taken += piece;
            return true;
          });
        }) == ErrorKind::unavailable);
  CHECK(taken == "half");
}

TEST_CASE("a connection that the server closed meanwhile is replaced") {
  auto server = std::make_unique<http::Server>();
  std::atomic<int> answered = 0;
  const auto answer = [&answered](const http::Request&) {
    ++answered;
    return http::Response::empty();
  };
  server->get("/", answer);
  const Running running(*server);
  http::Client client(running.endpoint());
  client.send({.path = "/"});
  server->close_connections();
  client.send({.path = "/"});
  CHECK(answered == 2);
}

TEST_CASE("a POST is sent once, even if its connection breaks") {
  http::Server server;
  std::atomic<int> posts = 0;
  server.get("/", [](const http::Request&) { return http::Response::empty(); });
  server.post("/", [&](const http::Request&) {
    ++posts;
    server.close_connections();
    return http::Response::empty();
  });
  const Running running(server);
  http::Client client(running.endpoint());
  client.send({.path = "/"});
  CHECK(kind_of_failure([&] { client.send({.method = "POST", .path = "/"}); }) == ErrorKind::unavailable);
  CHECK(posts == 1);
}

TEST_CASE("many threads use one client") {
  http::Server server;
  server.get("/{n}",
             [](const http::Request& request) { return http::Response::text(200, request.path_parameters.at("n")); });
  const Running running(server);
  http::Client client(running.endpoint());
  std::atomic<int> right = 0;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 8; ++thread) {
      threads.emplace_back([&, thread] {
        for (int i = 0; i < 20; ++i) {
          const std::string name = std::to_string(thread * 100 + i);
          if (client.send({.path = "/" + name}).body == name) ++right;
        }
      });
    }
  }
  CHECK(right == 160);
}

TEST_CASE("a URL is logged without its query and its login") {
  CHECK(http::loggable_url("https://bucket.example/a/b?X-Amz-Signature=1") == "\"https://bucket.example/a/b\"");
  CHECK(http::loggable_url("https://me:secret@host.example:8443/a@b#c") == "\"https://host.example:8443/a@b\"");
  CHECK(http::loggable_url("https://host.example/a@b") == "\"https://host.example/a@b\"");
  CHECK(http::loggable_url("nonsense?key=1") == "\"nonsense\"");
}

TEST_CASE("URL components keep only what is safe everywhere") {
  CHECK(http::encode_url_component("aZ09-._~") == "aZ09-._~");
  CHECK(http::encode_url_component(std::string_view("/ ?%\0ä", 7)) == "%2F%20%3F%25%00%C3%A4");
}
