#include "shim/host_end/aws.h"

#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/object_reader.h"
#include "shim/host_end/moment.h"

namespace dstack::shim::host_end {

namespace {

// The longest that the service gives, and when a token is replaced.
constexpr std::chrono::seconds kTokenLife{21600};
constexpr std::chrono::seconds kTokenUse{21000};

}  // namespace

void Aws::renew_token(const std::stop_token& stop) {
  const http::ClientResponse response = client_.send(
      "PUT", "/latest/api/token", {std::format("X-aws-ec2-metadata-token-ttl-seconds: {}", kTokenLife.count())}, stop);
  if (response.status != 200)
    throw Error(ErrorKind::unavailable, std::format("/latest/api/token answered {}", response.status));
  token_ = Secret(response.body);
  token_due_ = clock_.now() + kTokenUse;
}

std::optional<Notice> Aws::ask(const std::stop_token& stop) {
  if (token_.empty() || clock_.now() >= token_due_) renew_token(stop);
  const http::ClientResponse response =
      client_.send("GET", "/latest/meta-data/spot/instance-action",
                   {std::format("X-aws-ec2-metadata-token: {}", token_.reveal())}, stop);
  if (response.status == 404) return std::nullopt;
  // A token that is no longer valid: an instance that was stopped, or moved.
  if (response.status == 401) token_ = Secret();
  if (response.status != 200)
    throw Error(ErrorKind::unavailable, std::format("spot/instance-action answered {}", response.status));
  const nlohmann::json object = json::parse_object(response.body);
  const json::ObjectReader reader(object);
  return Notice{.cause = std::format("AWS interrupts this spot instance ({})", reader.string("action", "terminate")),
                .down_at = parse_iso_moment(reader.string("time"))};
}

}  // namespace dstack::shim::host_end
