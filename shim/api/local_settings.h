#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/http/server.h"
#include "shim/component/components.h"
#include "shim/drain/drain.h"
#include "shim/gpu/host_gpus.h"
#include "shim/gpu/sick_gpus.h"

namespace dstack::shim::api {

// What a person's commands ask a running shim, so that they look at what it uses. Nothing secret.
struct LocalSettings {
  std::filesystem::path home;
  std::filesystem::path binary_path;
  std::filesystem::path runner_binary_path;
  int http_port = 0;
  int runner_http_port = 0;
  int runner_ssh_port = 0;
  int dcgm_exporter_http_port = 0;
  std::string engine_address;  // "unix:///var/run/docker.sock"
  std::vector<std::string> pass_env;
  bool privileged = false;
  bool allow_task_callers = false;
  bool service = false;
};

// GET /local/settings: these, the process's id and version, the components as /api/components has them, whether the
// host is drained, which GPUs are set aside, and what else was seen of them. The references must outlive the server.
void add_local_settings_route(http::Server& server, LocalSettings settings, const component::Components& components,
                              const Drain& drain, const gpu::HostGpus& gpus);

// POST /local/gpus/ok {"id"}: a GPU that was set aside is well. `sick` must outlive the server.
void add_gpu_routes(http::Server& server, gpu::SickGpus& sick);

}  // namespace dstack::shim::api
