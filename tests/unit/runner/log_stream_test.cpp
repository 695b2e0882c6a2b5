#include "runner/api/log_stream.h"

#include <sys/socket.h>
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "runner/api/log_reader.h"
#include "runner/logs/job_log.h"
#include "runner/logs/stamps.h"
#include "tests/support/raw_http.h"
#include "tests/support/running_server.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using test::RawConnection;

namespace {

const runner::JobState done{.state = "done", .exit_status = 0};

// Logs, their stream and a server on a free port.
class Served {
 public:
  Served() {
    stream_.add_route(server_);
    running_.emplace(server_);
  }

  std::unique_ptr<RawConnection> connect(const std::string& query = "") const {
    auto connection = std::make_unique<RawConnection>(running_->port());
    connection->send("GET /logs_ws" + query +
                     " HTTP/1.1\r\nHost: x\r\nOrigin: http://elsewhere\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n");
    return connection;
  }

  runner::Logs& logs() { return logs_; }

 private:
  test::TemporaryDirectory folder_;
  runner::Logs logs_{folder_.path()};
  runner::LogStream stream_{logs_};
  http::Server server_;
  std::optional<test::RunningServer> running_;
};

struct Frames {
  int status = 0;
  std::string output;  // of all binary frames
  std::vector<std::string> pongs;
  int close_code = 0;  // 0: closed without a close frame
};

// Everything up to the server's close frame, which is answered as a client does, and then the end of the connection.
Frames read_frames(RawConnection& connection) {
  Frames frames;
  frames.status = test::status_of(connection.read_answer());
  const auto number = [&connection](std::size_t bytes) {
    std::uint64_t value = 0;
    for (const char c : connection.read_bytes(bytes)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  };
  while (true) {
    const std::string first = connection.read_bytes(1);
    if (first.empty()) return frames;
    std::uint64_t size = number(1);
    if (size == 126) size = number(2);
    if (size == 127) size = number(8);
    switch (first[0] & 15) {
      case 2: frames.output += connection.read_bytes(size); break;
      case 10: frames.pongs.push_back(connection.read_bytes(size)); break;
      case 8: {
        frames.close_code = static_cast<int>(number(2));
        connection.send(std::string("\x88\x82\0\0\0\0\x03\xe8", 8));
        connection.read_all();
        return frames;
      }
      default: FAIL("a frame that a server of logs does not send");
    }
  }
}

}  // namespace

TEST_CASE("a reader gets all output from the start and then a close frame") {
  Served served;
  std::string output;
  for (int i = 0; i < 100'000; ++i) output += "line " + std::to_string(i) + "\r\n";
  served.logs().append(std::string_view(output).substr(0, 500'000));
  const auto reader = served.connect();
  served.logs().append(std::string_view(output).substr(500'000));
  served.logs().finish(done);
  const Frames frames = read_frames(*reader);
  CHECK(frames.status == 101);
  CHECK((frames.output == output));
  CHECK(frames.close_code == 1000);
}

TEST_CASE("readers that come after the end get everything too") {
  Served served;
  served.logs().append("all of it");
  served.logs().finish(done);
  for (int i = 0; i < 3; ++i) {
    const auto reader = served.connect();
    CHECK(read_frames(*reader).output == "all of it");
  }
}

TEST_CASE("a bad start_time is refused with 1003") {
  Served served;
  served.logs().append("output");
  const auto reader = served.connect("?start_time=yesterday");
  const Frames frames = read_frames(*reader);
  CHECK(frames.status == 101);
  CHECK(frames.output.empty());
  CHECK(frames.close_code == 1003);
}

TEST_CASE("a start_time in the past begins at the start, one in the future at the end") {
  Served served;
  served.logs().append("output");
  served.logs().finish(done);
  const auto past = served.connect("?start_time=2001-01-01T00:00:00%2B00:00");
  CHECK(read_frames(*past).output == "output");
  const auto future = served.connect("?start_time=2201-01-01T00:00:00Z");
  const Frames frames = read_frames(*future);
  CHECK(frames.output.empty());
  CHECK(frames.close_code == 1000);
}

TEST_CASE("a ping is answered") {
  Served served;
  const auto reader = served.connect();
  reader->send(std::string("\x89\x82\0\0\0\0hi", 8));
  served.logs().finish(done);
  const Frames frames = read_frames(*reader);
  CHECK(frames.pongs == std::vector<std::string>{"hi"});
  CHECK(frames.close_code == 1000);
}

TEST_CASE("a reader that breaks the protocol is told so") {
  Served served;
  const auto reader = served.connect();
  reader->send("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
  CHECK(read_frames(*reader).close_code == 1002);
}

TEST_CASE("readers that do not read or go away cost the others nothing") {
  Served served;
  const std::string chunk(100'000, 'x');
  std::vector<std::unique_ptr<RawConnection>> deaf;
  for (int i = 0; i < 20; ++i) deaf.push_back(served.connect());
  const auto reader = served.connect();
  for (int i = 0; i < 100; ++i) {
    served.logs().append(chunk);
    if (i < 10) deaf.pop_back();
  }
  served.logs().finish(done);
  CHECK(read_frames(*reader).output.size() == 100 * chunk.size());
}

TEST_CASE("the logs are drained once a reader has answered the close frame") {
  Served served;
  const auto reader = served.connect();
  served.logs().append("output");
  served.logs().finish(done);
  served.logs().pull(0, std::nullopt)([](std::string_view) { return true; });
  CHECK(read_frames(*reader).output == "output");
  while (!served.logs().drained()) std::this_thread::yield();
}

TEST_CASE("a reader that does not read holds nobody up when it is given up") {
  const test::TemporaryDirectory folder;
  runner::Stamps stamps(os::system_clock());
  const runner::JobLog log(folder.path(), stamps);
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const os::UniqueFd other(ends[1]);
  // As the server has its connections: their close() waits.
  const linger linger_on_close{.l_onoff = 1, .l_linger = 10};
  ::setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &linger_on_close, sizeof linger_on_close);
  const runner::LogReader reader(log, {.socket = os::UniqueFd(ends[0]), .received = ""}, 0);
  linger left{};
  socklen_t size = sizeof left;
  REQUIRE(::getsockopt(reader.socket(), SOL_SOCKET, SO_LINGER, &left, &size) == 0);
  CHECK(left.l_onoff == 0);
}
