#pragma once

#include <string>
#include <vector>

#include "common/http/client.h"
#include "common/os/clock.h"
#include "common/secret.h"
#include "shim/ci/ci.h"

namespace dstack::shim::ci {

// Requests to the API of a CI system, with the manners that it expects: 429, and 403 with a limit's headers, are waited
// for as told; without a connection, and for 5xx, a request is made again with growing pauses. From any thread.
class Requests {
 public:
  // `credential` is a header with the token, "PRIVATE-TOKEN: …"; `token` is what no message may show.
  Requests(std::string base_url, std::string credential, Secret token, os::Clock& clock);

  enum class Lost { ask_again, report };

  // The answer, whatever its status but those above. With Lost::report a request that may have been carried out without
  // an answer is not made again: Error (unavailable, timed_out), as at the end of the patience.
  http::ClientResponse ask(const std::string& method, const std::string& path, const std::string& body,
                           const Patience& patience, Lost lost = Lost::ask_again);

  // What a status that is an error says: "HTTP 403: insufficient_scope", without the token.
  std::string quote(const http::ClientResponse& answer) const;

  const std::string& base_url() const { return base_url_; }

 private:
  const std::string base_url_;
  const std::string credential_;
  const Secret token_;
  os::Clock& clock_;
  http::Client client_;
};

// How long the CI says to wait; nothing if the answer is not about a limit of its own.
std::optional<std::chrono::seconds> limit_pause(const http::ClientResponse& answer, os::WallTime now);

// 1 s, 2 s, 4 s … 60 s.
class GrowingPause {
 public:
  std::chrono::seconds next();

 private:
  std::chrono::seconds next_{1};
};

}  // namespace dstack::shim::ci
