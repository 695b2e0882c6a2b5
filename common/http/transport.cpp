#include "common/http/transport.h"

#include <openssl/crypto.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "common/http/url.h"

namespace dstack::http {

namespace {

constexpr std::chrono::milliseconds kNoConnectLimit = std::chrono::hours(24);

void initialise_once() {
  // Before libcurl has OpenSSL read the host's openssl.cnf: that is written for the host's OpenSSL, and may name
  // modules and options that this one does not have.
  ::OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (code != CURLE_OK) throw Error(ErrorKind::internal, std::format("start libcurl: {}", curl_easy_strerror(code)));
}

// libcurl's own sockets would be inherited by the programs we start.
curl_socket_t open_socket(void* error, curlsocktype, curl_sockaddr* address) {
  const int socket = ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  // libcurl keeps only what connect(2) says.
  if (socket < 0) *static_cast<int*>(error) = errno;
  return socket;
}

}  // namespace

Transport::Transport(Endpoint endpoint) : endpoint_(std::move(endpoint)) {
  initialise_once();
  if (!endpoint_.base_url.starts_with("https://") || !endpoint_.ca_file.empty()) return;
  trusted_ = os::find_ca_certificates("/", [](const char* name) { return std::getenv(name); });
  // What an administrator put beside the bundle.
  constexpr const char* kFolder = "/etc/ssl/certs";
  std::error_code ignored;
  if (!trusted_.folder && std::filesystem::is_directory(kFolder, ignored)) trusted_.folder = kFolder;
}

void Transport::apply(CURL* easy, const ClientRequest& request, int& socket_error) const {
  const std::string url = endpoint_.base_url + request.path;
  set_option(easy, CURLOPT_URL, url.c_str());
  set_option(easy, CURLOPT_NOSIGNAL, 1L);
  set_option(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  // At a Unix socket there is a connection at once or none. libcurl's timer would only wake up a transfer that goes on.
  const bool connects_at_once = !endpoint_.unix_socket.empty();
  set_option(easy, CURLOPT_CONNECTTIMEOUT_MS,
             static_cast<long>(connects_at_once ? kNoConnectLimit.count() : request.connect_limit.count()));
  socket_error = 0;
  set_option(easy, CURLOPT_OPENSOCKETFUNCTION, &open_socket);
  set_option(easy, CURLOPT_OPENSOCKETDATA, &socket_error);
  if (!endpoint_.unix_socket.empty()) set_option(easy, CURLOPT_UNIX_SOCKET_PATH, endpoint_.unix_socket.c_str());
  if (!endpoint_.use_proxy || !endpoint_.unix_socket.empty() || is_loopback_url(endpoint_.base_url))
    set_option(easy, CURLOPT_PROXY, "");
  if (!endpoint_.ca_file.empty()) {
    set_option(easy, CURLOPT_CAINFO, endpoint_.ca_file.c_str());
  } else {
    // Left alone, OpenSSL looks at one bundle and one folder, whatever the distribution.
    if (trusted_.file) set_option(easy, CURLOPT_CAINFO, trusted_.file->c_str());
    if (trusted_.folder) set_option(easy, CURLOPT_CAPATH, trusted_.folder->c_str());
  }
  if (!endpoint_.certificate_file.empty()) set_option(easy, CURLOPT_SSLCERT, endpoint_.certificate_file.c_str());
  if (!endpoint_.key_file.empty()) set_option(easy, CURLOPT_SSLKEY, endpoint_.key_file.c_str());
  if (!endpoint_.verify_peer) {
    set_option(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    set_option(easy, CURLOPT_SSL_VERIFYHOST, 0L);
  }
}

Error Transport::failure(ErrorKind kind, const ClientRequest& request, std::string_view reason) const {
  const std::string where =
      endpoint_.unix_socket.empty() ? without_secrets(endpoint_.base_url) : "unix://" + endpoint_.unix_socket;
  const std::string path = request.path.substr(0, request.path.find('?'));
  return {kind, std::format("{} {} at {}: {}", request.method, path, where, reason)};
}

std::string describe_failure(CURL* easy, CURLcode result, std::string_view reason, int socket_error) {
  if (result == CURLE_COULDNT_CONNECT) {
    if (socket_error != 0) return "make a socket: " + describe_errno(socket_error);
    long code = 0;
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &code);
    if (code != 0) return "connect: " + describe_errno(static_cast<int>(code));
  }
  return std::string(reason.empty() ? curl_easy_strerror(result) : reason);
}

std::string without_secrets(std::string_view url) {
  std::string text(url.substr(0, url.find_first_of("?#")));
  const std::size_t scheme = text.find("://");
  if (scheme == std::string::npos) return text;
  const std::size_t host = scheme + 3;
  const std::size_t at = text.substr(0, text.find('/', host)).rfind('@');
  if (at != std::string::npos && at >= host) text.erase(host, at + 1 - host);
  return text;
}

}  // namespace dstack::http
