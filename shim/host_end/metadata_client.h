#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "common/http/client.h"
#include "common/os/clock.h"

namespace dstack::shim::host_end {

// Requests to a cloud's metadata service, never through a proxy. For one thread.
class MetadataClient {
 public:
  MetadataClient(std::string url, os::Clock& clock);

  // Any status is an answer. Throws Error (unavailable, timed_out, cancelled) if there is none within two seconds.
  http::ClientResponse send(const std::string& method, const std::string& path, std::vector<std::string> headers,
                            const std::stop_token& stop);
  // The body of a 200. Throws Error for any other status.
  std::string get(const std::string& path, std::vector<std::string> headers, const std::stop_token& stop);

 private:
  std::unique_ptr<http::Client> client_;
};

}  // namespace dstack::shim::host_end
