#include "shim/api/metrics_route.h"

#include <algorithm>
#include <array>

#include "common/version.h"
#include "shim/metrics/process.h"

namespace dstack::shim::api {

namespace {

using http::Request;
using http::Response;
using metrics::Exposition;
using task::TaskStatus;

void write_tasks(Exposition& exposition, const task::TaskManager& tasks) {
  constexpr std::array all{TaskStatus::pending,  TaskStatus::preparing, TaskStatus::pulling,
                           TaskStatus::creating, TaskStatus::running,   TaskStatus::terminated};
  const std::vector<task::TaskListItem> items = tasks.list(true);
  exposition.begin("dstack_shim_tasks", "gauge", "Tasks that the shim knows, by status.");
  for (const TaskStatus status : all) {
    const auto count = std::ranges::count(items, status, &task::TaskListItem::status);
    exposition.sample(static_cast<double>(count), {{"status", task::name_of(status)}});
  }
}

void write_remarks(Exposition& exposition, const gpu::HostGpus& gpus) {
  constexpr double kMebibyte = 1 << 20;
  const gpu::Remarks remarks = gpus.remarks();
  double memory = 0;
  for (const gpu::OutsideProcess& process : remarks.outside) memory += static_cast<double>(process.memory) * kMebibyte;
  exposition.single("dstack_shim_gpus_slowed_by_heat", "gauge", "NVIDIA GPUs that their driver slows down for heat.",
                    static_cast<double>(remarks.hot.size()));
  exposition.single("dstack_shim_gpu_outside_processes", "gauge",
                    "Processes of no container that hold memory of an NVIDIA GPU, counted for each GPU.",
                    static_cast<double>(remarks.outside.size()));
  exposition.single("dstack_shim_gpu_outside_memory_bytes", "gauge", "Memory of NVIDIA GPUs that these processes hold.",
                    memory);
  exposition.single("dstack_shim_gpu_driver_mismatch", "gauge",
                    "1 if NVIDIA's driver was upgraded and the host not restarted since.",
                    gpus.driver_mismatch() ? 1 : 0);
}

void write_gpus(Exposition& exposition, const gpu::HostGpus& gpus) {
  const gpu::Inventory* inventory = gpus.inventory();
  if (inventory == nullptr) return;
  const auto [free, taken, sick] = gpus.counts();
  const std::string_view vendor = dstack::gpu::name_of(inventory->vendor);
  exposition.begin("dstack_shim_gpus", "gauge", "GPUs of the host, by whether a task has them or they are set aside.");
  exposition.sample(static_cast<double>(free), {{"vendor", vendor}, {"state", "free"}});
  exposition.sample(static_cast<double>(taken), {{"vendor", vendor}, {"state", "taken"}});
  exposition.sample(static_cast<double>(sick), {{"vendor", vendor}, {"state", "sick"}});
  write_remarks(exposition, gpus);
}

}  // namespace

void add_metrics_route(http::Server& server, metrics::Registry& registry, const task::TaskManager& tasks,
                       const gpu::HostGpus& gpus, const Drain& drain) {
  server.observe([&registry](const Request& request, int status) { registry.request_answered(request.route, status); });
  server.get("/metrics", [&registry, &tasks, &gpus, &drain](const Request&) {
    Exposition exposition;
    exposition.begin("dstack_shim_build_info", "gauge", "Always 1; the label says which version runs.");
    exposition.sample(1, {{"version", version()}});
    write_tasks(exposition, tasks);
    write_gpus(exposition, gpus);
    exposition.begin("dstack_shim_drained", "gauge", "1 if the host takes no new tasks (dstack-shim drain).");
    exposition.sample(drain.reason() ? 1 : 0, {});
    registry.write(exposition);
    metrics::write_process(exposition);
    return Response{.content_type = std::string(Exposition::content_type), .body = exposition.text()};
  });
}

}  // namespace dstack::shim::api
