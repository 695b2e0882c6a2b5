#pragma once

#include "common/secret.h"
#include "shim/host_end/cloud.h"
#include "shim/host_end/metadata_client.h"

namespace dstack::shim::host_end {

// The interruption notice of a spot instance, two minutes ahead (IMDSv2: each request needs a token of the session).
class Aws final : public NoticeSource {
 public:
  Aws(MetadataClient client, os::Clock& clock) : client_(std::move(client)), clock_(clock) {}
  std::optional<Notice> ask(const std::stop_token& stop) override;

 private:
  void renew_token(const std::stop_token& stop);

  MetadataClient client_;
  os::Clock& clock_;
  Secret token_;
  os::SteadyTime token_due_{};
};

}  // namespace dstack::shim::host_end
