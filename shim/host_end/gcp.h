#pragma once

#include "shim/host_end/cloud.h"
#include "shim/host_end/metadata_client.h"

namespace dstack::shim::host_end {

// Preemption of a spot machine (30 s ahead), and maintenance of the hardware under one that is not moved but stopped: a
// minute ahead, an hour for a machine with GPUs.
class Gcp final : public NoticeSource {
 public:
  Gcp(MetadataClient client, bool has_gpus, os::Clock& clock)
      : client_(std::move(client)), has_gpus_(has_gpus), clock_(clock) {}
  std::optional<Notice> ask(const std::stop_token& stop) override;

 private:
  MetadataClient client_;
  const bool has_gpus_;
  os::Clock& clock_;
  std::optional<os::WallTime> preempted_since_;
  std::optional<os::WallTime> maintenance_since_;
};

}  // namespace dstack::shim::host_end
