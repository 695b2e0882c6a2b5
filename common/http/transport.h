#pragma once

#include <curl/curl.h>

#include <format>
#include <memory>
#include <string>
#include <string_view>

#include "common/error.h"
#include "common/http/client.h"
#include "common/os/ca_certificates.h"

namespace dstack::http {

struct EasyDeleter {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
using EasyHandle = std::unique_ptr<CURL, EasyDeleter>;

template <typename Value>
void set_option(CURL* easy, CURLoption option, Value value) {
  if (const CURLcode code = curl_easy_setopt(easy, option, value); code != CURLE_OK) {
    throw Error(ErrorKind::internal, std::format("set up a transfer: {}", curl_easy_strerror(code)));
  }
}

// How an endpoint is reached with libcurl: over which socket, without which proxy, with which certificates.
class Transport {
 public:
  explicit Transport(Endpoint endpoint);

  // Sets a handle up for a connection to the request's URL, and nothing of the request itself. `socket_error` gets
  // errno if no socket can be made; it outlives the transfer.
  void apply(CURL* easy, const ClientRequest& request, int& socket_error) const;

  const Endpoint& endpoint() const { return endpoint_; }
  // Whether this machine has nothing to check a server's certificate with.
  bool lacks_certificates() const { return endpoint_.ca_file.empty() && !trusted_.file && !trusted_.folder; }
  // "GET /path at URL: reason", without the query.
  Error failure(ErrorKind kind, const ClientRequest& request, std::string_view reason) const;

 private:
  Endpoint endpoint_;
  os::CaCertificates trusted_;  // for https without a file of its own
};

// Why a transfer failed: the system's reason if there is one, else libcurl's. `reason` is the error buffer's text.
std::string describe_failure(CURL* easy, CURLcode result, std::string_view reason, int socket_error);

// A URL without its query and a login.
std::string without_secrets(std::string_view url);

}  // namespace dstack::http
