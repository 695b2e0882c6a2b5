#include "common/http/httplib_messages.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/error.h"
#include "common/text/letter_case.h"
#include "common/text/number.h"

namespace dstack::http {

Request from_httplib(const httplib::Request& source) {
  Request request;
  request.method = source.method;
  request.path = source.path;
  for (const auto& [name, value] : source.params) request.query.emplace(name, value);
  for (const auto& [name, value] : source.headers) request.headers.emplace(text::lower_case(name), value);
  request.peer_address = source.remote_addr;
  request.peer_port = source.remote_port;
  request.local_address = source.local_addr;
  request.local_port = source.local_port;
  return request;
}

void to_httplib(Response response, httplib::Response& target, const SocketStream& connection) {
  target.status = response.status;
  if (response.stream) {
    auto write = std::move(response.stream);
    target.set_chunked_content_provider(
        response.content_type, [write, &connection](std::size_t, httplib::DataSink& sink) {
          write([&](std::string_view piece) {
            // httplib takes an empty piece for the end.
            return piece.empty() ? connection.is_peer_alive() : sink.write(piece.data(), piece.size());
          });
          sink.done();
          return true;
        });
  } else if (!response.body.empty()) {
    target.set_content(std::move(response.body), response.content_type);
  } else {
    target.set_header("Content-Type", response.content_type);
  }
}

bool asks_for_websocket(const httplib::Request& request) {
  const std::string key = request.get_header_value("Sec-WebSocket-Key");
  return request.method == "GET" && text::lower_case(request.get_header_value("Upgrade")) == "websocket" &&
         text::lower_case(request.get_header_value("Connection")).contains("upgrade") && key.size() == 24 &&
         key.ends_with("==") && request.get_header_value("Sec-WebSocket-Version") == "13";
}

bool is_other_method(const httplib::Request& request) {
  return !request.method.empty() && request.target.starts_with('/') && request.version.starts_with("HTTP/1.") &&
         std::ranges::all_of(request.method, [](char c) { return (c >= 'A' && c <= 'Z') || c == '-'; });
}

void keep_from_parsing_forms(const httplib::Request& source) {
  // The request is httplib's own object and not a constant one; our copy of it has the header already.
  const_cast<httplib::Headers&>(source.headers).erase("Content-Type");
}

namespace {

constexpr std::size_t kUploadBuffer = std::size_t{128} << 10;

// The length of a body that is nothing but its bytes.
std::optional<std::uint64_t> plain_length(const httplib::Request& source) {
  if (source.has_header("Transfer-Encoding") || source.has_header("Content-Encoding")) return std::nullopt;
  if (source.get_header_value_count("Content-Length") != 1) return std::nullopt;
  return text::parse_number<std::uint64_t>(source.get_header_value("Content-Length"));
}

}  // namespace

void UploadBody::read(const std::function<void(std::string_view)>& take) {
  keep_from_parsing_forms(source_);
  bool complete = true;
  if (std::optional<std::uint64_t> left = plain_length(source_)) {
    // Past httplib, which would copy it through a small buffer, and which reads what is left if `take` throws.
    const auto note_left = [&] {
      auto& headers = const_cast<httplib::Headers&>(source_.headers);
      headers.erase("Content-Length");
      headers.emplace("Content-Length", std::to_string(*left));
    };
    std::vector<char> buffer(kUploadBuffer);
    try {
      while (*left > 0) {
        const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(*left, buffer.size()));
        const ssize_t count = connection_.read(buffer.data(), size);
        complete = count > 0;
        if (!complete) break;
        *left -= static_cast<std::uint64_t>(count);
        take({buffer.data(), static_cast<std::size_t>(count)});
      }
    } catch (...) {
      note_left();
      throw;
    }
    note_left();
  }
  complete = complete && reader_([&take](const char* data, std::size_t size) {
               take({data, size});
               return true;
             });
  if (!complete) throw Error(ErrorKind::invalid, "the request's body broke off");
}

}  // namespace dstack::http
