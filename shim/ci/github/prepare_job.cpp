#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <format>
#include <iostream>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/os/file.h"
#include "common/text/split.h"
#include "common/text/trim.h"
#include "shim/ci/container_start.h"
#include "shim/ci/github/container_request.h"
#include "shim/ci/github/hooks.h"
#include "shim/ci/github/image_environment.h"
#include "shim/client/text.h"

namespace dstack::shim::ci::github {

using nlohmann::json;

namespace {

constexpr std::chrono::milliseconds kHealthInterval{200};
// A service without a health check is up if it has not ended until then.
constexpr std::chrono::seconds kUpAfter{1};

void submit_service(Hook& hook, const HookContainer& service, const std::string& role, GpuBudget& gpus) {
  const ContainerFlags& flags = hook.options.containers;
  const CreateOptions options = parse_create_options(service.create_options, flags.privileged);
  ContainerRequest request =
      container_request({flags, hook.work, hook.folder.names()}, Use::service, role, service, options, gpus);
  const std::vector<std::string> names = service_aliases(service, options);
  request.container["process"] = "image";
  request.container["network"] = hook.folder.names().network();
  request.container["aliases"] = names;
  request.container["init"] = options.init;
  request.container["command"] = service.arguments;
  const std::string entrypoint = service.entrypoint.empty() ? options.entrypoint.value_or("") : service.entrypoint;
  if (!entrypoint.empty()) request.container["entrypoint"] = {entrypoint};
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  say(std::format("Service {} ({})", service.image, list));
  hook.containers.submit(request);
}

[[noreturn]] void fail_service(Hook& hook, const std::string& role, const std::string& image,
                               const std::string& reason) {
  std::cout << last_lines_of(hook.containers, role) << std::flush;
  throw Error(ErrorKind::unavailable, std::format("service {} is unhealthy{}", image, reason));
}

// Waits until its health check passes or, without one, it has run for a second.
client::TaskDetails await_service_health(Hook& hook, const std::string& role, const std::string& image) {
  os::Clock& clock = os::system_clock();
  for (const os::SteadyTime begin = clock.now();; os::pause(clock, kHealthInterval, {})) {
    client::TaskDetails service = hook.containers.details(role);
    if (service.task.ended()) fail_service(hook, role, image, ": it has ended: " + client::ending_of(service.task));
    if (service.health == "unhealthy") fail_service(hook, role, image, "");
    if (service.health == "healthy") return service;
    if (service.health == "none" && clock.now() - begin >= kUpAfter) return service;
  }
}

json ports_of(const client::TaskDetails& service) {
  json ports = json::object();
  // Of two protocols with the same number TCP counts.
  for (const char* protocol : {"udp", "tcp"}) {
    for (const client::TaskPort& port : service.ports) {
      if (port.protocol == protocol) ports[std::to_string(port.container)] = std::to_string(port.host);
    }
  }
  return ports;
}

json start_services(Hook& hook, GpuBudget& gpus) {
  const std::vector<HookContainer>& services = hook.request.services;
  for (std::size_t i = 0; i < services.size(); ++i) submit_service(hook, services[i], service_role(i), gpus);
  json answers = json::array();
  for (std::size_t i = 0; i < services.size(); ++i) {
    const std::string role = service_role(i);
    await_container(hook.containers, role, services[i].image);
    const client::TaskDetails service = await_service_health(hook, role, services[i].image);
    answers.push_back(
        {{"id", service.task.container_id}, {"network", hook.folder.names().network()}, {"ports", ports_of(service)}});
  }
  return answers;
}

// What a program in the container writes; nothing if there is no such program or it fails.
std::optional<std::string> output_of(client::HeldRunner& runner, const client::Program& program) {
  std::string output;
  try {
    const auto end = runner.run(program, [&output](client::Stream stream, std::string_view piece) {
      if (stream == client::Stream::output) output += piece;
    });
    return end.status() == 0 ? std::optional(output) : std::nullopt;
  } catch (const std::exception& error) {
    if (error_kind(error) != ErrorKind::not_found) throw;
    return std::nullopt;
  }
}

// The agent starts another Node.js there.
bool is_alpine(client::HeldRunner& runner) {
  const auto content_of = [&runner](const char* file) {
    return output_of(runner, {.id = "read-release", .arguments = {"cat", file}, .working_dir = "/"});
  };
  if (content_of("/etc/alpine-release")) return true;
  const std::string release = content_of("/etc/os-release").value_or("");
  return std::ranges::any_of(text::split_lines(release), [](std::string_view line) {
    return line == "ID=alpine" || line == "ID=\"alpine\"" || line == "ID='alpine'";
  });
}

// Where the container has the agent's work folder; empty if nowhere.
std::string mounted_work(const Hook& hook, const HookContainer& container) {
  const auto mount = std::ranges::find_if(container.system_mounts, [&hook](const MountRequest& system) {
    return !hook.work.canonical.empty() && resolved(system.source) == hook.work.canonical;
  });
  return mount == container.system_mounts.end() ? "" : mount->target;
}

json start_job_container(Hook& hook, GpuBudget& gpus, JobRecord& record, bool& alpine) {
  const HookContainer& container = hook.container();
  const ContainerFlags& flags = hook.options.containers;
  const JobNames& names = hook.folder.names();
  const CreateOptions options = parse_create_options(container.create_options, flags.privileged);
  ContainerRequest request = container_request({flags, hook.work, names}, Use::job, kJobRole, container, options, gpus);
  request.user.clear();  // of the steps, not of the runner that holds the container
  request.container["process"] = "hold";
  request.container["network"] = names.network();
  request.container["aliases"] = options.aliases;
  hook.containers.submit(request);
  const client::TaskDetails details = await_container(hook.containers, kJobRole, container.image);
  say_gpus(hook.shim, request, details);
  const auto environment = request.container["env"].get<std::map<std::string, std::string>>();
  record.has_container = true;
  record.image = container.image;
  record.user = options.user.empty() ? details.user : options.user;
  record.path = variable_in(environment, details, "PATH");
  record.home = variable_in(environment, details, "HOME");
  record.memory = request.memory;
  record.work_folder = mounted_work(hook, container);
  client::HeldRunner runner = hook.containers.runner(details);
  alpine = is_alpine(runner);
  return {{"id", details.task.container_id}, {"network", names.network()}};
}

void answer(const std::filesystem::path& file, const json& content) {
  if (file.empty()) throw Error(ErrorKind::invalid, "responseFile: is missing");
  const os::UniqueFd out = os::open_file(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  os::write_all(out.get(), dstack::json::dump(content), file.string());
}

}  // namespace

void prepare_job(Hook& hook) {
  hook.containers.remove_all();
  JobRecord record{.job = hook.folder.new_job(), .uid = hook.work.uid, .gid = hook.work.gid};
  hook.folder.write(record);
  GpuBudget gpus{.limit = gpus_of(hook.options.containers)};
  json context = {{"services", start_services(hook, gpus)}};
  bool alpine = false;
  if (hook.request.container) context["container"] = start_job_container(hook, gpus, record, alpine);
  record.asked_gpus = gpus.asked;
  hook.folder.write(record);
  answer(hook.request.response_file, {{"state", {{"job", record.job}}}, {"isAlpine", alpine}, {"context", context}});
}

}  // namespace dstack::shim::ci::github
