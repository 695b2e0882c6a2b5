#include "common/http/upgraded.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <format>
#include <string>
#include <utility>

#include "common/error.h"
#include "common/http/transport.h"
#include "common/os/wait.h"
#include "common/text/letter_case.h"
#include "common/text/number.h"
#include "common/text/split.h"
#include "common/text/trim.h"

namespace dstack::http {

namespace {

constexpr std::size_t kHeadLimit = std::size_t{64} << 10;
constexpr std::size_t kErrorBodyLimit = std::size_t{64} << 10;

class CurlStream final : public Upgraded {
 public:
  CurlStream(const Transport& transport, const ClientRequest& request) : easy_(curl_easy_init()) {
    if (!easy_) throw Error(ErrorKind::internal, "start a transfer: out of memory");
    transport.apply(easy_.get(), request, socket_error_);
    set_option(easy_.get(), CURLOPT_CONNECT_ONLY, 1L);
    set_option(easy_.get(), CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set_option(easy_.get(), CURLOPT_ERRORBUFFER, &reason_[0]);
    if (const CURLcode code = curl_easy_perform(easy_.get()); code != CURLE_OK) {
      throw transport.failure(ErrorKind::unavailable, request, describe(code));
    }
    if (curl_easy_getinfo(easy_.get(), CURLINFO_ACTIVESOCKET, &socket_) != CURLE_OK || socket_ == CURL_SOCKET_BAD) {
      throw transport.failure(ErrorKind::unavailable, request, "the connection was closed");
    }
  }

  int fd() const override { return socket_; }

  std::optional<std::size_t> read(std::span<char> into) override {
    if (!early_.empty()) {
      const std::size_t count = early_.copy(into.data(), into.size());
      early_.erase(0, count);
      return count;
    }
    std::size_t count = 0;
    const CURLcode code = curl_easy_recv(easy_.get(), into.data(), into.size(), &count);
    if (code == CURLE_AGAIN) return std::nullopt;
    if (code != CURLE_OK) throw Error(ErrorKind::unavailable, "read from the connection: " + describe(code));
    return count;
  }

  std::size_t write(std::string_view bytes) override {
    std::size_t count = 0;
    const CURLcode code = curl_easy_send(easy_.get(), bytes.data(), bytes.size(), &count);
    if (code != CURLE_OK && code != CURLE_AGAIN) {
      throw Error(ErrorKind::unavailable, "write to the connection: " + describe(code));
    }
    return count;
  }

  void end_output() override { ::shutdown(socket_, SHUT_WR); }

  // What came with the head of the answer.
  void set_early(std::string bytes) { early_ = std::move(bytes); }

 private:
  std::string describe(CURLcode code) const { return describe_failure(easy_.get(), code, &reason_[0], socket_error_); }

  char reason_[CURL_ERROR_SIZE] = "";
  int socket_error_ = 0;
  EasyHandle easy_;
  curl_socket_t socket_ = CURL_SOCKET_BAD;
  std::string early_;
};

// "unix" sockets have a base URL too, whose host the engine does not look at.
std::string host_of(const std::string& base_url) {
  const std::size_t scheme = base_url.find("://");
  const std::string rest = scheme == std::string::npos ? base_url : base_url.substr(scheme + 3);
  return rest.substr(0, rest.find('/'));
}

std::string request_text(const Transport& transport, const ClientRequest& request) {
  std::string text = std::format(
      "{} {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\n"
      "Content-Length: {}\r\n",
      request.method, request.path, host_of(transport.endpoint().base_url), request.body.size());
  for (const std::string& header : request.headers) text += header + "\r\n";
  return text + "\r\n" + request.body;
}

ClientResponse parse_head(std::string_view head) {
  ClientResponse response;
  for (std::string_view line : text::split(head, '\n')) {
    line = text::trim(line);
    if (line.starts_with("HTTP/")) {
      const std::size_t space = line.find(' ');
      if (space != std::string_view::npos)
        response.status = text::parse_number<int>(line.substr(space + 1, 3)).value_or(0);
    } else if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
      response.headers.insert_or_assign(text::lower_case(text::trim(line.substr(0, colon))),
                                        std::string(text::trim(line.substr(colon + 1))));
    }
  }
  return response;
}

// The way of a request and its answer, each step within one limit.
class Exchange {
 public:
  Exchange(const Transport& transport, const ClientRequest& request, os::Clock& clock, const std::stop_token& stop)
      : transport_(transport),
        request_(request),
        wait_(clock, stop,
              request.total_limit.count() > 0 ? std::optional(clock.now() + request.total_limit) : std::nullopt),
        stream_(std::make_unique<CurlStream>(transport, request)) {}

  UpgradeAnswer perform() {
    send(request_text(transport_, request_));
    std::string bytes;
    std::size_t end = std::string::npos;
    while ((end = bytes.find("\r\n\r\n")) == std::string::npos) {
      if (!receive(bytes)) throw failure(ErrorKind::unavailable, "the connection was closed");
      if (bytes.size() > kHeadLimit) throw failure(ErrorKind::unavailable, "the answer is too large");
    }
    UpgradeAnswer answer{.response = parse_head(std::string_view(bytes).substr(0, end)), .stream = nullptr};
    bytes.erase(0, end + 4);
    const bool is_stream = answer.response.status == 101 || answer.response.status == 200;
    if (!is_stream) {
      answer.response.body = read_body(std::move(bytes), answer.response);
      return answer;
    }
    stream_->set_early(std::move(bytes));
    answer.stream = std::move(stream_);
    return answer;
  }

 private:
  Error failure(ErrorKind kind, std::string_view reason) const { return transport_.failure(kind, request_, reason); }

  void wait_for(short events) {
    pollfd waiting{.fd = stream_->fd(), .events = events, .revents = 0};
    switch (wait_.until_ready({&waiting, 1}, "the connection")) {
      case os::Wait::Outcome::ready: return;
      case os::Wait::Outcome::stopped: throw failure(ErrorKind::cancelled, "cancelled");
      case os::Wait::Outcome::timed_out:
        throw failure(ErrorKind::timed_out, std::format("no answer within {} ms", request_.total_limit.count()));
    }
  }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::size_t count = stream_->write(bytes);
      bytes.remove_prefix(count);
      if (count == 0) wait_for(POLLOUT);
    }
  }

  // Appends what comes next; false at the end.
  bool receive(std::string& bytes) {
    std::array<char, 4096> piece{};
    while (true) {
      const auto count = stream_->read(piece);
      if (!count) {
        wait_for(POLLIN);
        continue;
      }
      bytes.append(piece.data(), *count);
      return *count > 0;
    }
  }

  std::string read_body(std::string body, const ClientResponse& response) {
    const auto length = response.headers.find("content-length");
    const std::size_t size = length == response.headers.end()
                                 ? kErrorBodyLimit
                                 : text::parse_number<std::size_t>(length->second).value_or(kErrorBodyLimit);
    while (body.size() < std::min(size, kErrorBodyLimit) && receive(body)) {
    }
    return body;
  }

  const Transport& transport_;
  const ClientRequest& request_;
  os::Wait wait_;
  std::unique_ptr<CurlStream> stream_;
};

}  // namespace

UpgradeAnswer upgrade(const Transport& transport, const ClientRequest& request, os::Clock& clock,
                      const std::stop_token& stop) {
  return Exchange(transport, request, clock, stop).perform();
}

}  // namespace dstack::http
