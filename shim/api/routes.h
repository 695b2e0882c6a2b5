#pragma once

#include <functional>

#include "common/http/server.h"
#include "shim/api/legacy.h"
#include "shim/component/components.h"
#include "shim/dcgm/services.h"
#include "shim/drain/drain.h"
#include "shim/gpu/host_gpus.h"
#include "shim/host/peer_guard.h"
#include "shim/metrics/registry.h"
#include "shim/task/task_manager.h"

namespace dstack::shim::api {

struct Services {
  task::TaskManager& tasks;
  LegacyApi& legacy;
  Drain& drain;
  component::Components& components;
  const gpu::HostGpus& gpus;
  const dcgm::Services& dcgm;
  metrics::Registry& metrics;
  host::PeerGuard* peers;  // null: whoever reaches the API may call
  // Asks the process to leave; with `force` it does not wait for requests in flight. Returns at once.
  std::function<void(bool force)> shut_down;
};

// Everything the server answers. The services must outlive it.
void add_routes(http::Server& server, Services services);

}  // namespace dstack::shim::api
