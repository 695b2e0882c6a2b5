#include <algorithm>
#include <format>
#include <iostream>
#include <nlohmann/json.hpp>

#include "common/os/child.h"
#include "common/os/command.h"
#include "common/text/split.h"
#include "common/text/trim.h"
#include "shim/ci/container_start.h"
#include "shim/ci/gitlab/stages.h"
#include "shim/ci/service_start.h"

namespace dstack::shim::ci::gitlab {

using nlohmann::json;

namespace {

constexpr const char* kAgentInContainer = "/usr/local/bin/gitlab-runner";

// GitLab's words for when an image is pulled, and the shim's.
std::string pull_of(const std::string& policy) {
  if (policy == "always") return "always";
  if (policy == "never") return "never";
  if (policy == "if-not-present") return "missing";
  return "newer";
}

std::filesystem::path find_agent(const ContainerFlags& flags) {
  std::filesystem::path agent = flags.agent;
  if (agent.empty()) agent = os::find_program("gitlab-runner").value_or("");
  if (agent.empty()) return {};
  std::error_code failure;
  const auto file = std::filesystem::canonical(agent, failure);
  return failure ? agent : file;
}

// The volumes that all containers of the job share.
json volumes_of(const Job& job) {
  json volumes = json::array();
  volumes.push_back({{"name", job.names.volume("builds")}, {"target", kBuilds}});
  volumes.push_back(
      {{"name", cache_volume(job.response.server, job.response.project)}, {"target", kCache}, {"keep", true}});
  return volumes;
}

ContainerRequest request_for(const Job& job, const std::string& role, const std::string& image) {
  ContainerRequest request{.role = role,
                           .name = std::format("gitlab-{}-{}", job.response.id, role),
                           .image = image,
                           .privileged = job.options.containers.privileged};
  try {
    request.login = find_login(job.response.logins, image);
  } catch (const std::exception& error) {
    throw BuildFailure(error.what());
  }
  request.container = {{"network", job.names.network()}, {"volumes", volumes_of(job)}};
  add_volume_flags(request, job.options.containers, job.names);
  return request;
}

void submit_service(Job& job, const ServiceRequest& service, const std::string& role) {
  ContainerRequest request = request_for(job, role, service.image);
  const std::vector<std::string> names = service_names(service);
  std::map<std::string, std::string> variables = job.response.public_variables;
  for (const auto& [name, value] : service.variables) variables.insert_or_assign(name, value);
  request.container["process"] = "image";
  request.container["aliases"] = names;
  request.container["env"] = variables;
  request.container["pull"] = pull_of(service.pull_policy);
  request.container["entrypoint"] = service.entrypoint;
  request.container["command"] = service.command;
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  say(std::format("Service {} ({})", service.image, list));
  job.containers.submit(request);
}

// What is wrong with a service that was submitted; empty once it can be used. Throws NoImage.
std::string problem_of_service(Job& job, const std::string& role, const std::string& image) {
  try {
    await_container(job.containers, role, image);
    return await_service(job.containers, role);
  } catch (const NoImage&) {
    throw;
  } catch (const std::exception& error) {
    return error.what();
  }
}

// A job may do without a service that is not up.
void start_services(Job& job) {
  const auto& services = job.response.services;
  for (std::size_t i = 0; i < services.size(); ++i) submit_service(job, services[i], service_role(i));
  for (std::size_t i = 0; i < services.size(); ++i) {
    const std::string problem = problem_of_service(job, service_role(i), services[i].image);
    if (problem.empty()) continue;
    say(std::format("WARNING: service {} is not up: {}", services[i].image, problem));
    std::cout << last_lines_of(job.containers, service_role(i)) << std::flush;
  }
}

json held_container(const Job& job, json container) {
  container["process"] = "hold";
  const std::filesystem::path agent = find_agent(job.options.containers);
  if (agent.empty()) {
    say("WARNING: gitlab-runner is not in PATH; artifacts and caches need --agent");
  } else {
    container["mounts"].push_back({{"source", agent.string()}, {"target", kAgentInContainer}, {"read_only", true}});
  }
  return container;
}

std::string job_image(const Job& job) {
  return job.response.image.empty() ? job.options.containers.image : job.response.image;
}

client::TaskDetails start_job_container(Job& job) {
  const ContainerFlags& flags = job.options.containers;
  const std::string image = job_image(job);
  ContainerRequest request = request_for(job, kJobRole, image);
  request.gpus = gpus_of(flags);
  request.cpus = flags.cpus;
  request.memory = flags.memory;
  request.shm_size = shm_size_of(flags, request.gpus);
  request.container = held_container(job, std::move(request.container));
  request.container["pull"] = pull_of(job.response.pull_policy);
  job.containers.submit(request);
  const client::TaskDetails container = await_container(job.containers, kJobRole, image);
  say_gpus(job.shim, request, container);
  return container;
}

// GitLab's own, for the version of the agent that runs this job.
std::string helper_image(const Job& job) {
  if (!job.options.containers.helper_image.empty()) return job.options.containers.helper_image;
  std::string version = job.environment("CUSTOM_ENV_CI_RUNNER_VERSION").value_or("");
  const std::filesystem::path agent = find_agent(job.options.containers);
  if (version.empty() && !agent.empty()) {
    // "Version:      17.5.0"
    const os::CommandResult answer = os::run_command({.arguments = {agent.string(), "--version"}});
    for (const std::string_view line : text::split_lines(answer.output)) {
      if (line.starts_with("Version:")) version = text::trim(line.substr(line.find(':') + 1));
    }
  }
  if (version.empty())
    throw Error(ErrorKind::invalid, "the version of gitlab-runner is not known: name an image with --helper-image");
#if defined(__aarch64__)
  constexpr const char* kArchitecture = "arm64";
#else
  constexpr const char* kArchitecture = "x86_64";
#endif
  return std::format("registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper:{}-v{}", kArchitecture,
                     version);
}

bool has_git(client::HeldRunner& runner) {
  try {
    const auto end = runner.run({.id = "find-git", .arguments = {"git", "--version"}}, [](auto, auto) {});
    return end.status() == 0;
  } catch (const std::exception& error) {
    if (error_kind(error) != ErrorKind::not_found) throw;
    return false;
  }
}

// Where GitLab's own scripts run that the job's image has no git for. A job that wants no repository needs none, unless
// an image was named.
bool needs_helper(const Job& job, client::HeldRunner& runner) {
  if (has_git(runner)) return false;
  const bool no_repository = job.environment("CUSTOM_ENV_GIT_STRATEGY").value_or("") == "none";
  return !no_repository || !job.options.containers.helper_image.empty();
}

void start_helper(Job& job) {
  const std::string image = helper_image(job);
  ContainerRequest request = request_for(job, kHelperRole, image);
  request.privileged = false;
  request.container = held_container(job, std::move(request.container));
  request.container["pull"] = pull_of("");
  say(std::format("The job's image has no git: GitLab's scripts run in {}", image));
  job.containers.submit(request);
  const client::TaskDetails container = await_container(job.containers, kHelperRole, image);
  job.containers.runner(container);
}

}  // namespace

void prepare(Job& job) {
  // Of an attempt that failed.
  job.containers.remove_all();
  if (!job.response.platform.empty()) say(std::format("WARNING: platform {} is ignored", job.response.platform));
  start_services(job);
  const client::TaskDetails container = start_job_container(job);
  client::HeldRunner runner = job.containers.runner(container);
  if (needs_helper(job, runner)) start_helper(job);
  give_builds_to_user(job, container, runner);
}

}  // namespace dstack::shim::ci::gitlab
