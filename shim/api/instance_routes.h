#pragma once

#include "common/http/server.h"
#include "shim/dcgm/services.h"
#include "shim/gpu/host_gpus.h"
#include "shim/task/task_manager.h"

namespace dstack::shim::api {

// Adds /api/instance/info (503 until the GPUs are known), /api/instance/health and /metrics/tasks/{id}. What they refer
// to must outlive the server.
void add_instance_routes(http::Server& server, task::TaskManager& tasks, const gpu::HostGpus& gpus,
                         const dcgm::Services& dcgm);

}  // namespace dstack::shim::api
