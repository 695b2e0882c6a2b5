#include "common/http/client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <format>
#include <limits>
#include <utility>

#include "common/error.h"
#include "common/http/transport.h"
#include "common/http/upgraded.h"
#include "common/os/mutex.h"
#include "common/text/letter_case.h"
#include "common/text/number.h"
#include "common/text/trim.h"

namespace dstack::http {

namespace {

// More than this of an answer that is collected is nonsense, whoever sends it.
constexpr std::size_t kBodyLimit = std::size_t{64} << 20;

// Sessions that wait for the next request. A burst makes more of them; they end with it.
constexpr std::size_t kSpareSessions = 4;

struct MultiDeleter {
  void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, ListDeleter>;

HeaderList make_headers(const ClientRequest& request) {
  HeaderList list;
  const auto add = [&list](const std::string& line) {
    curl_slist* const head = curl_slist_append(list.get(), line.c_str());
    if (head == nullptr) throw std::bad_alloc();
    if (!list) list.reset(head);  // a longer list has the head it had
  };
  bool has_type = false;
  for (const std::string& line : request.headers) {
    has_type |= text::equal_ignoring_case(line.substr(0, line.find(':')), "content-type");
    add(line);
  }
  // A name without a value takes away what libcurl would send by itself.
  const bool has_body = !request.body.empty() || request.body_source;
  if (!has_type) add(!has_body ? "Content-Type:" : "Content-Type: application/json");
  add("Expect:");
  return list;
}

// What one transfer collects. The functions are called by libcurl, on the transfer's thread.
struct Receiver {
  ClientResponse response;
  const std::function<bool(std::string_view)>* take = nullptr;
  bool ended_by_taker = false;
  bool too_large = false;
  std::exception_ptr failure;
  const std::function<std::size_t(std::span<char>)>* source = nullptr;  // of the request's body

  static std::size_t on_read(char* data, std::size_t size, std::size_t count, void* self) {
    return static_cast<Receiver*>(self)->read({data, size * count});
  }
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self) {
    return static_cast<Receiver*>(self)->header({data, size * count});
  }
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self) {
    return static_cast<Receiver*>(self)->body({data, size * count});
  }

  // An exception must not travel through libcurl: it is kept and thrown again when the transfer has ended.
  std::size_t header(std::string_view line) {
    try {
      if (line.starts_with("HTTP/")) {
        // The first line of each answer, of which an interim one (1xx) may come first.
        response.headers.clear();
        response.status = 0;
        if (const std::size_t space = line.find(' '); space != std::string_view::npos) {
          response.status = text::parse_number<int>(line.substr(space + 1, 3)).value_or(0);
        }
      } else if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
        std::string name = text::lower_case(text::trim(line.substr(0, colon)));
        response.headers.insert_or_assign(std::move(name), std::string(text::trim(line.substr(colon + 1))));
      }
      return line.size();
    } catch (...) {
      failure = std::current_exception();
      return 0;
    }
  }

  std::size_t read(std::span<char> into) {
    try {
      return (*source)(into);
    } catch (...) {
      failure = std::current_exception();
      return CURL_READFUNC_ABORT;
    }
  }

  std::size_t body(std::string_view piece) {
    try {
      if (take != nullptr && response.status >= 200 && response.status < 300) {
        if ((*take)(piece)) return piece.size();
        ended_by_taker = true;
        return CURL_WRITEFUNC_ERROR;
      }
      if (response.body.size() + piece.size() > kBodyLimit) {
        too_large = true;
        return CURL_WRITEFUNC_ERROR;
      }
      response.body += piece;
      return piece.size();
    } catch (...) {
      failure = std::current_exception();
      return CURL_WRITEFUNC_ERROR;
    }
  }
};

// A multi handle, which holds the connections, and the one easy handle that is used with it.
struct Session {
  std::unique_ptr<CURLM, MultiDeleter> multi{curl_multi_init()};
  EasyHandle easy{curl_easy_init()};
  std::unique_ptr<os::Timer> timer;
  char reason[CURL_ERROR_SIZE] = "";
  int socket_error = 0;

  Session() {
    if (!multi || !easy) throw Error(ErrorKind::internal, "start a transfer: out of memory");
    curl_multi_setopt(multi.get(), CURLMOPT_MAXCONNECTS, 1L);
  }
};

// Keeps the easy handle in the multi handle for as long as the transfer lasts.
class Attached {
 public:
  explicit Attached(Session& session) : session_(session) {
    if (const CURLMcode code = curl_multi_add_handle(session.multi.get(), session.easy.get()); code != CURLM_OK) {
      throw Error(ErrorKind::internal, std::format("start a transfer: {}", curl_multi_strerror(code)));
    }
  }
  Attached(const Attached&) = delete;
  Attached& operator=(const Attached&) = delete;
  ~Attached() { curl_multi_remove_handle(session_.multi.get(), session_.easy.get()); }

 private:
  Session& session_;
};

enum class End { finished, cancelled, timed_out };

// Drives the transfer to its end; `result` is set where it finished.
End drive(Session& session, bool timed, const std::stop_token& stop, CURLcode& result) {
  CURLM* const multi = session.multi.get();
  const Attached attached(session);
  const std::stop_callback wake(stop, [multi] { curl_multi_wakeup(multi); });
  while (true) {
    if (stop.stop_requested()) return End::cancelled;
    int running = 0;
    if (const CURLMcode code = curl_multi_perform(multi, &running); code != CURLM_OK) {
      throw Error(ErrorKind::internal, std::format("transfer: {}", curl_multi_strerror(code)));
    }
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      result = message->data.result;
      return End::finished;
    }
    curl_waitfd deadline{.fd = timed ? session.timer->fd() : -1, .events = CURL_WAIT_POLLIN, .revents = 0};
    // libcurl shortens this wait by its own timers; everything else wakes it through a descriptor.
    constexpr int kLong = 60 * 60 * 1000;
    if (const CURLMcode code = curl_multi_poll(multi, &deadline, timed ? 1 : 0, kLong, nullptr); code != CURLM_OK) {
      throw Error(ErrorKind::internal, std::format("wait for a transfer: {}", curl_multi_strerror(code)));
    }
    if (timed && deadline.revents != 0) return End::timed_out;
  }
}

}  // namespace

class Client::Implementation {
 public:
  Implementation(Endpoint endpoint, os::Clock& clock) : transport_(std::move(endpoint)), clock_(clock) {}

  UpgradeAnswer upgrade(const ClientRequest& request, const std::stop_token& stop) {
    return http::upgrade(transport_, request, clock_, stop);
  }

  ClientResponse perform(const ClientRequest& request, const std::function<bool(std::string_view)>* take,
                         const std::stop_token& stop) {
    std::unique_ptr<Session> session = borrow();
    Receiver receiver;
    receiver.take = take;
    const HeaderList headers = make_headers(request);
    set_up(*session, request, headers.get(), receiver);
    const bool timed = request.total_limit.count() > 0;
    if (timed) {
      if (!session->timer) session->timer = clock_.make_timer();
      session->timer->arm(clock_.now() + request.total_limit);
    }
    CURLcode result = CURLE_OK;
    // After an exception the session is not used again.
    const End end = drive(*session, timed, stop, result);
    if (timed) session->timer->disarm();
    const std::string reason = describe(*session, result);
    give_back(std::move(session));

    if (end == End::cancelled) throw failure(ErrorKind::cancelled, request, "cancelled");
    if (end == End::timed_out) {
      throw failure(ErrorKind::timed_out, request, std::format("no answer within {}", in_words(request.total_limit)));
    }
    if (receiver.failure) std::rethrow_exception(receiver.failure);
    if (receiver.too_large) throw failure(ErrorKind::unavailable, request, "the answer is too large");
    if (receiver.ended_by_taker) return std::move(receiver.response);
    if (result == CURLE_OPERATION_TIMEDOUT) {
      throw failure(ErrorKind::timed_out, request,
                    std::format("no connection within {}", in_words(request.connect_limit)));
    }
    const bool untrusted = result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE;
    if (untrusted && transport_.lacks_certificates()) {
      throw failure(ErrorKind::unavailable, request,
                    reason + "; this machine has no CA certificates: install ca-certificates, or set SSL_CERT_FILE");
    }
    if (result != CURLE_OK) throw failure(ErrorKind::unavailable, request, reason);
    return std::move(receiver.response);
  }

 private:
  static std::string in_words(std::chrono::milliseconds limit) {
    return limit.count() % 1000 == 0 ? std::format("{} s", limit.count() / 1000) : std::format("{} ms", limit.count());
  }

  Error failure(ErrorKind kind, const ClientRequest& request, std::string_view reason) const {
    return transport_.failure(kind, request, reason);
  }

  static std::string describe(const Session& session, CURLcode result) {
    if (result == CURLE_OK) return {};
    return describe_failure(session.easy.get(), result, &session.reason[0], session.socket_error);
  }

  template <typename Value>
  static void set(Session& session, CURLoption option, Value value) {
    set_option(session.easy.get(), option, value);
  }

  void set_up(Session& session, const ClientRequest& request, curl_slist* headers, Receiver& receiver) {
    curl_easy_reset(session.easy.get());  // its connection stays
    session.reason[0] = '\0';
    transport_.apply(session.easy.get(), request, session.socket_error);
    set(session, CURLOPT_ERRORBUFFER, &session.reason[0]);
    set(session, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(session, CURLOPT_TCP_KEEPALIVE, 1L);
    set(session, CURLOPT_HTTPHEADER, headers);
    set(session, CURLOPT_HEADERFUNCTION, &Receiver::on_header);
    set(session, CURLOPT_HEADERDATA, &receiver);
    set(session, CURLOPT_WRITEFUNCTION, &Receiver::on_body);
    set(session, CURLOPT_WRITEDATA, &receiver);
    if (request.method == "HEAD") {
      set(session, CURLOPT_NOBODY, 1L);
    } else if (request.body_source) {
      // Of unknown length: libcurl sends it in chunks.
      receiver.source = &request.body_source;
      set(session, CURLOPT_UPLOAD, 1L);
      set(session, CURLOPT_READFUNCTION, &Receiver::on_read);
      set(session, CURLOPT_READDATA, &receiver);
      set(session, CURLOPT_CUSTOMREQUEST, request.method.c_str());
      set(session, CURLOPT_FRESH_CONNECT, 1L);
    } else if (request.method != "GET" || !request.body.empty()) {
      // The body is not copied: `request` outlives the transfer.
      set(session, CURLOPT_POSTFIELDS, request.body.c_str());
      set(session, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
      set(session, CURLOPT_CUSTOMREQUEST, request.method.c_str());
      // libcurl sends a request again by itself when a connection that it kept turns out to be closed. A POST may have
      // done its work by then, so it gets a connection of its own.
      if (request.method == "POST") set(session, CURLOPT_FRESH_CONNECT, 1L);
    }
  }

  std::unique_ptr<Session> borrow() {
    {
      const os::Lock lock(mutex_);
      if (!spare_.empty()) {
        std::unique_ptr<Session> session = std::move(spare_.back());
        spare_.pop_back();
        return session;
      }
    }
    return std::make_unique<Session>();
  }

  void give_back(std::unique_ptr<Session> session) {
    const os::Lock lock(mutex_);
    if (spare_.size() < kSpareSessions) spare_.push_back(std::move(session));
  }

  const Transport transport_;
  os::Clock& clock_;
  os::Mutex mutex_;
  std::vector<std::unique_ptr<Session>> spare_ DSTACK_GUARDED_BY(mutex_);
};

Client::Client(Endpoint endpoint, os::Clock& clock)
    : implementation_(std::make_unique<Implementation>(std::move(endpoint), clock)) {}

Client::~Client() = default;

ClientResponse Client::send(const ClientRequest& request, const std::stop_token& stop) {
  return implementation_->perform(request, nullptr, stop);
}

ClientResponse Client::stream(const ClientRequest& request, const std::function<bool(std::string_view)>& take,
                              const std::stop_token& stop) {
  return implementation_->perform(request, &take, stop);
}

UpgradeAnswer Client::upgrade(const ClientRequest& request, const std::stop_token& stop) {
  return implementation_->upgrade(request, stop);
}

std::string loggable_url(std::string_view url) { return printable(without_secrets(url)); }

std::string encode_url_component(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += std::format("%{:02X}", byte);
    }
  }
  return out;
}

}  // namespace dstack::http
