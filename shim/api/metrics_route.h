#pragma once

#include "common/http/server.h"
#include "shim/drain/drain.h"
#include "shim/gpu/host_gpus.h"
#include "shim/metrics/registry.h"
#include "shim/task/task_manager.h"

namespace dstack::shim::api {

// Adds /metrics, and has every answer of the server counted. What it refers to must outlive the server.
void add_metrics_route(http::Server& server, metrics::Registry& registry, const task::TaskManager& tasks,
                       const gpu::HostGpus& gpus, const Drain& drain);

}  // namespace dstack::shim::api
