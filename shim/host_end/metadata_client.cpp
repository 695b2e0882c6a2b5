#include "shim/host_end/metadata_client.h"

#include <format>
#include <utility>

#include "common/error.h"

namespace dstack::shim::host_end {

namespace {

// It is on the same machine, or next to it.
constexpr std::chrono::seconds kConnectLimit{1};
constexpr std::chrono::seconds kAnswerLimit{2};

}  // namespace

MetadataClient::MetadataClient(std::string url, os::Clock& clock)
    : client_(std::make_unique<http::Client>(http::Endpoint{.base_url = std::move(url), .use_proxy = false}, clock)) {}

http::ClientResponse MetadataClient::send(const std::string& method, const std::string& path,
                                          std::vector<std::string> headers, const std::stop_token& stop) {
  return client_->send({.method = method,
                        .path = path,
                        .headers = std::move(headers),
                        .connect_limit = kConnectLimit,
                        .total_limit = kAnswerLimit},
                       stop);
}

std::string MetadataClient::get(const std::string& path, std::vector<std::string> headers,
                                const std::stop_token& stop) {
  http::ClientResponse response = send("GET", path, std::move(headers), stop);
  if (response.status == 200) return std::move(response.body);
  throw Error(ErrorKind::unavailable,
              std::format("{} answered {}: {}", path, response.status, printable(response.body)));
}

}  // namespace dstack::shim::host_end
