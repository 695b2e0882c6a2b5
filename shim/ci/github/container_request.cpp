#include "shim/ci/github/container_request.h"

#include <algorithm>
#include <cstdlib>
#include <format>

#include "common/error.h"
#include "common/text/number.h"
#include "shim/ci/container_start.h"
#include "shim/docker/image_reference.h"

namespace dstack::shim::ci::github {

using nlohmann::json;

namespace {

bool is_engine_socket(const MountRequest& mount) { return mount.source.ends_with("/docker.sock"); }

json as_mount(const std::string& source, const MountRequest& mount) {
  return {{"source", source}, {"target", mount.target}, {"read_only", mount.read_only}};
}

void add_system_mounts(ContainerRequest& request, const RequestRules& rules, const HookContainer& container) {
  for (const MountRequest& mount : container.system_mounts) {
    if (is_engine_socket(mount)) continue;
    if (rules.work.is_escape(mount.source)) {
      throw Error(ErrorKind::forbidden,
                  std::format("mount {}: a link in it leads out of the work folder", printable(mount.source)));
    }
    request.container["mounts"].push_back(as_mount(mount.source, mount));
  }
}

// A folder of the host, with its links resolved.
std::string allowed_source(const RequestRules& rules, const std::string& source) {
  const std::filesystem::path path = resolved(source);
  const bool allowed = std::ranges::any_of(
      rules.flags.allowed_volumes, [&path](const std::string& folder) { return is_below(path, resolved(folder)); });
  if (!allowed) {
    throw Error(ErrorKind::forbidden,
                std::format("volume {}: not below a folder that --allow-volumes names", printable(source)));
  }
  return path;
}

void add_user_mounts(ContainerRequest& request, const RequestRules& rules, const HookContainer& container) {
  int without_name = 0;
  for (const MountRequest& mount : container.user_mounts) {
    if (mount.source.starts_with('/')) {
      request.container["mounts"].push_back(as_mount(allowed_source(rules, mount.source), mount));
      continue;
    }
    if (mount.source.contains('/')) {
      throw Error(ErrorKind::invalid,
                  std::format("volume {}: neither an absolute path nor a volume's name", printable(mount.source)));
    }
    const std::string name = mount.source.empty() ? std::format("{}-{}", request.role, ++without_name)
                                                  : std::format("volume-{}", mount.source);
    request.container["volumes"].push_back(
        {{"name", rules.names.volume(name)}, {"target", mount.target}, {"read_only", mount.read_only}});
  }
}

std::map<std::string, std::string> environment_of(const HookContainer& container, const CreateOptions& options) {
  std::map<std::string, std::string> environment = container.environment;
  environment.insert(options.environment.begin(), options.environment.end());
  environment.insert({{"GITHUB_ACTIONS", "true"}, {"CI", "true"}});
  return environment;
}

// `wanted` within `limit`, 0 being none in both.
template <typename Number>
Number within(std::string_view what, const char* flag, Number wanted, Number limit) {
  if (limit == 0 || (wanted > 0 && wanted <= limit)) return wanted;
  say(std::format("option --{} {}: cut to {} ({})", what, wanted, limit, flag));
  return limit;
}

void set_limits(ContainerRequest& request, const RequestRules& rules, Use use, const CreateOptions& options) {
  const ContainerFlags& flags = rules.flags;
  if (options.cpus) {
    request.cpus = within("cpus", "--cpus", *options.cpus, flags.cpus);
  } else if (use != Use::service) {
    request.cpus = flags.cpus;
  }
  if (options.memory) {
    request.memory = within("memory", "--memory", *options.memory, flags.memory);
  } else if (use != Use::service) {
    request.memory = flags.memory;
  }
  if (options.shm_size) {
    request.shm_size = within("shm-size", "--shm-size", *options.shm_size, flags.shm_size.value_or(0));
  } else if (use != Use::service || request.gpus != 0) {
    request.shm_size = shm_size_of(flags, request.gpus);
  }
}

void add_options(ContainerRequest& request, const CreateOptions& options) {
  json& container = request.container;
  request.user = options.user;
  if (!options.hostname.empty()) container["hostname"] = options.hostname;
  const auto add = [&container](const char* field, const json& value) {
    if (!value.is_null()) container[field] = value;
  };
  add("health", options.health);
  add("ulimits", options.ulimits);
  add("tmpfs", options.tmpfs);
  add("hosts", options.hosts);
  add("labels", options.labels);
  add("cap_add", options.added_capabilities);
  container["pull"] = options.pull.empty() ? "newer" : options.pull;
}

// The login is for the registry that it was given for.
std::optional<RegistryLogin> login_for(const HookContainer& container) {
  if (!container.login) return std::nullopt;
  if (container.login->registry.empty()) return container.login;
  return find_login({*container.login}, container.image);
}

// For a person who lists tasks: "github-1234-job" in run 1234.
std::string task_name(const std::string& role) {
  const char* run = std::getenv("GITHUB_RUN_ID");
  return run != nullptr && text::is_digits(run) ? std::format("github-{}-{}", run, role) : "github-" + role;
}

}  // namespace

std::int64_t GpuBudget::take(const std::optional<std::int64_t>& wanted, std::int64_t otherwise) {
  const std::int64_t count = wanted.value_or(otherwise);
  if (limit >= 0 && (count < 0 || count > left())) {
    throw Error(ErrorKind::invalid,
                std::format("option --gpus {}: a job gets {} here (--gpus), and {} of them are left",
                            count < 0 ? "all" : std::to_string(count), limit, left()));
  }
  if (count > 0) asked += count;
  return count;
}

ContainerRequest container_request(const RequestRules& rules, Use use, const std::string& role,
                                   const HookContainer& container, const CreateOptions& options, GpuBudget& gpus) {
  ContainerRequest request{.role = role,
                           .name = task_name(role),
                           .image = container.image,
                           .login = login_for(container),
                           .privileged = rules.flags.privileged || options.privileged};
  request.gpus = gpus.take(options.gpus, use == Use::job ? gpus.left() : 0);
  request.container = {{"env", environment_of(container, options)}};
  set_limits(request, rules, use, options);
  add_options(request, options);
  const std::string& folder = container.working_dir.empty() ? options.working_dir : container.working_dir;
  if (!folder.empty()) request.container["working_dir"] = folder;
  for (const client::PublishedPort& port : container.ports)
    request.container["ports"].push_back(
        {{"container", port.container}, {"host", port.host}, {"protocol", port.protocol}});
  add_volume_flags(request, rules.flags, rules.names);
  add_system_mounts(request, rules, container);
  add_user_mounts(request, rules, container);
  return request;
}

std::vector<std::string> service_aliases(const HookContainer& service, const CreateOptions& options) {
  std::vector<std::string> names;
  const auto add = [&names](const std::string& name) {
    if (!name.empty() && !std::ranges::contains(names, name)) names.push_back(name);
  };
  add(service.context_name);
  for (const std::string& alias : options.aliases) add(alias);
  const std::string repository = docker::parse_image_reference(service.image).repository;
  add(repository.substr(repository.rfind('/') + 1));
  return names;
}

}  // namespace dstack::shim::ci::github
