#include "shim/client/shim_api.h"

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/json/object_reader.h"
#include "shim/client/task_details.h"

namespace dstack::shim::client {

using dstack::json::ObjectReader;
using nlohmann::json;

namespace {

constexpr std::chrono::seconds kShimAnswerLimit{30};
constexpr std::chrono::seconds kPatience{30};

TaskEntry read_task(const ObjectReader& reader) {
  TaskEntry task{.id = reader.string("id"),
                 .status = reader.string("status"),
                 .termination_reason = reader.string("termination_reason"),
                 .termination_message = reader.string("termination_message"),
                 .container_name = reader.string("container_name"),
                 .container_id = reader.string("container_id"),
                 .gpu_ids = reader.strings("gpus_ids"),
                 .pull = std::nullopt,
                 .name = reader.string("name"),
                 .image = reader.string("image_name"),
                 .local = reader.boolean("local", true),
                 .submitted_at = reader.optional_integer("submitted_at"),
                 .runner_port = std::nullopt,
                 .process = reader.string("process", "job")};
  if (reader.has("runner_port")) task.runner_port = static_cast<int>(reader.integer("runner_port", 0, 0, 65535));
  reader.object("image_pull_progress", [&task](const ObjectReader& progress) {
    task.pull = PullView{.downloaded = progress.integer("downloaded_bytes"),
                         .extracted = progress.integer("extracted_bytes"),
                         .total = progress.integer("total_bytes"),
                         .total_is_final = progress.boolean("is_total_bytes_final")};
  });
  if (task.pull) task.pull->activity = reader.string("image_pull_activity");
  return task;
}

std::optional<int> read_exit_code(const ObjectReader& reader) {
  if (!reader.has("exit_code")) return std::nullopt;
  return static_cast<int>(reader.integer("exit_code", 0, INT32_MIN, INT32_MAX));
}

ErrorKind kind_of(int status) {
  if (status == 404) return ErrorKind::not_found;
  if (status == 409) return ErrorKind::conflict;
  return ErrorKind::unavailable;
}

}  // namespace

std::int64_t PullView::percent() const {
  return total > 0 ? std::clamp<std::int64_t>(downloaded * 100 / total, 0, 100) : 0;
}

ShimApi::ShimApi(int port, os::Clock& clock)
    : port_(port), clock_(clock), client_({.base_url = std::format("http://127.0.0.1:{}", port)}) {}

void ShimApi::submit(const json& task) {
  call({.method = "POST", .path = "/api/tasks", .body = dstack::json::dump(task), .total_limit = kShimAnswerLimit},
       Again::no);
}

std::vector<TaskEntry> ShimApi::tasks() {
  const json answer = ask("/api/tasks?local=1&details=1");
  std::vector<TaskEntry> tasks;
  ObjectReader(answer).objects("tasks", [&tasks](const ObjectReader& reader) {
    TaskEntry task = read_task(reader);
    if (task.ended() && reader.has("ended_in")) {
      task.exit_status =
          exit_status_of(read_exit_code(reader), reader.string("start_failure"), reader.string("ended_in"));
    }
    tasks.push_back(std::move(task));
  });
  return tasks;
}

TaskEntry ShimApi::task(const std::string& id) {
  const json answer = ask("/api/tasks/" + http::encode_url_component(id));
  return read_task(ObjectReader(answer));
}

bool ShimApi::has_gpus() {
  const json answer = ask("/api/instance/info");
  return ObjectReader(answer).has("gpu_vendor");
}

json ShimApi::inspect(const std::string& id) {
  return ask(std::format("/api/tasks/{}?details=1", http::encode_url_component(id)));
}

TaskDetails ShimApi::details(const std::string& id) {
  const json answer = inspect(id);
  const ObjectReader reader(answer);
  TaskDetails details{.task = read_task(reader),
                      .address = reader.string("address"),
                      .health = reader.string("health"),
                      .ended_in = reader.string("ended_in"),
                      .start_failure = reader.string("start_failure"),
                      .out_of_memory = reader.boolean("oom_killed"),
                      .runner_token = Secret(reader.string("runner_token"))};
  details.exit_code = read_exit_code(reader);
  reader.object("config", [&details](const ObjectReader& config) {
    config.object("container", [&details](const ObjectReader& container) {
      details.stdin_open = container.boolean("stdin");
      details.tty = container.boolean("tty");
    });
  });
  reader.objects("ports", [&details](const ObjectReader& port) {
    details.ports.push_back({.container = static_cast<int>(port.integer("container", 0, 0, 65535)),
                             .host = static_cast<int>(port.integer("host", 0, 0, 65535)),
                             .protocol = port.string("protocol", "tcp")});
  });
  reader.object("image", [&details](const ObjectReader& image) {
    details.digest = image.string("digest");
    details.user = image.string("user");
    details.entrypoint = image.strings("entrypoint");
    details.command = image.strings("cmd");
    details.environment = image.strings("env");
    details.exposed_ports = image.strings("exposed_ports");
  });
  return details;
}

std::string ShimApi::output(const std::string& id, std::uint64_t offset) {
  return call({.path = std::format("/api/tasks/{}/logs?offset={}", http::encode_url_component(id), offset),
               .total_limit = kShimAnswerLimit});
}

std::vector<LineTime> ShimApi::line_times(const std::string& id, std::uint64_t first) {
  const json answer = ask(std::format("/api/tasks/{}/logs/times?first={}", http::encode_url_component(id), first));
  std::vector<LineTime> lines;
  ObjectReader(answer).objects("lines", [&lines](const ObjectReader& reader) {
    LineTime& line = lines.emplace_back(LineTime{.time = reader.integer("time")});
    if (!reader.has("begin")) return;
    line.begin = static_cast<std::uint64_t>(reader.integer("begin", 0, 0, INT64_MAX));
    line.end = static_cast<std::uint64_t>(reader.integer("end", 0, 0, INT64_MAX));
  });
  return lines;
}

void ShimApi::start(const std::string& id) {
  call({.method = "POST",
        .path = std::format("/api/tasks/{}/start", http::encode_url_component(id)),
        .total_limit = kShimAnswerLimit});
}

void ShimApi::terminate(const std::string& id, const std::string& reason, const std::string& message,
                        std::chrono::seconds grace) {
  const json body = {{"termination_reason", reason}, {"termination_message", message}, {"timeout", grace.count()}};
  call({.method = "POST",
        .path = std::format("/api/tasks/{}/terminate", http::encode_url_component(id)),
        .body = dstack::json::dump(body),
        .total_limit = kShimAnswerLimit + grace});
}

void ShimApi::remove(const std::string& id) {
  call({.method = "POST",
        .path = std::format("/api/tasks/{}/remove", http::encode_url_component(id)),
        .total_limit = kShimAnswerLimit},
       Again::no);
}

void ShimApi::drain(const std::string& reason) {
  call({.method = "POST",
        .path = "/local/drain",
        .body = dstack::json::dump(json{{"reason", reason}}),
        .total_limit = kShimAnswerLimit});
}

void ShimApi::undrain() { call({.method = "POST", .path = "/local/undrain", .total_limit = kShimAnswerLimit}); }

void ShimApi::accept_gpu(const std::string& id) {
  call({.method = "POST",
        .path = "/local/gpus/ok",
        .body = dstack::json::dump(json{{"id", id}}),
        .total_limit = kShimAnswerLimit});
}

HostState ShimApi::host_state() {
  HostState state;
  try {
    const json settings = ask("/local/settings");
    const ObjectReader reader(settings);
    if (reader.has("drained")) state.drained = reader.string("drained");
    reader.objects("sick_gpus", [&state](const ObjectReader& gpu) {
      state.sick_gpus.push_back(std::format("{}: {}", gpu.string("id"), gpu.string("reason")));
    });
  } catch (const std::exception& error) {
    if (error_kind(error) != ErrorKind::not_found) throw;
  }
  return state;
}

std::string ShimApi::engine_address() {
  try {
    const json settings = ask("/local/settings");
    return ObjectReader(settings).string("engine_address");
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::not_found) return {};  // an older shim
    throw;
  }
}

json ShimApi::ask(const std::string& path) {
  const std::string answer = call({.path = path, .total_limit = kShimAnswerLimit});
  try {
    return dstack::json::parse_object(answer);
  } catch (const Error& error) {
    throw Error(ErrorKind::unavailable,
                std::format("the server on port {} is not dstack-shim: {}", port_, error.what()));
  }
}

std::string ShimApi::call(const http::ClientRequest& request, Again again) {
  http::ClientResponse response = send(request, again);
  if (response.status == 200) return std::move(response.body);
  while (response.body.ends_with('\n')) response.body.pop_back();
  throw Error(kind_of(response.status), response.body.empty()
                                            ? std::format("the shim answered {} to {}", response.status, request.path)
                                            : response.body);
}

http::ClientResponse ShimApi::send(const http::ClientRequest& request, Again again) {
  const os::SteadyTime deadline = clock_.now() + kPatience;
  while (true) {
    try {
      http::ClientResponse response = client_.send(request);
      has_answered_ = true;
      return response;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::unavailable) throw;
      if (!has_answered_ || again == Again::no || clock_.now() >= deadline) {
        throw Error(error.kind(),
                    std::format("no dstack-shim answers on port {} ({}): start one with \"sudo dstack-shim\", or name "
                                "its port with --shim-http-port",
                                port_, error.what()));
      }
    }
    os::pause(clock_, kPollInterval, {});
  }
}

}  // namespace dstack::shim::client
