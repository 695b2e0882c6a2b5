#pragma once

#include "shim/host_end/cloud.h"
#include "shim/host_end/metadata_client.h"

namespace dstack::shim::host_end {

// Scheduled events of the type Preempt (a spot machine, 30 s ahead), Terminate (a scale set's, 5 to 15 minutes), Reboot
// (15 minutes) and Redeploy (10 minutes) that name this machine: those of other machines of its set are there, too.
class Azure final : public NoticeSource {
 public:
  explicit Azure(MetadataClient client) : client_(std::move(client)) {}
  std::optional<Notice> ask(const std::stop_token& stop) override;

 private:
  MetadataClient client_;
  std::string machine_;  // its name; empty until it is known
};

}  // namespace dstack::shim::host_end
