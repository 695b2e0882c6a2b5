#include "shim/task/launcher.h"

#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/exit_status.h"
#include "common/os/file.h"
#include "common/reason.h"
#include "common/termination_reason.h"
#include "shim/docker/container_spec.h"
#include "shim/docker/image_reference.h"
#include "shim/gpu/cdi.h"
#include "shim/gpu/driver_mismatch.h"
#include "shim/task/runner_token.h"

namespace dstack::shim::task {

namespace {

// Runs a step; what goes wrong in it ends the task for this reason.
template <typename Step>
void end_with(const char* reason, Step step) {
  try {
    step();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::cancelled) throw;
    throw LaunchFailure{{.reason = reason, .message = error.what()}};
  } catch (const std::exception& error) {
    throw LaunchFailure{{.reason = reason, .message = reason_of(error)}};
  }
}

// Runs a step in which the engine may refuse what it is asked for because of how it runs.
template <typename Step>
void explained(const docker::EngineMode& mode, Step step) {
  try {
    step();
  } catch (const std::exception& error) {
    const std::string hint = docker::hint_for_refusal(mode);
    if (hint.empty() || error_kind(error) == ErrorKind::cancelled) throw;
    throw Error(error_kind(error), error.what() + hint);
  }
}

// Its root could not enter the runner's folder.
void require_root(const docker::EngineMode& mode, const docker::EngineClient& engine) {
  if (!mode.rootless || ::geteuid() != 0) return;
  throw Error(ErrorKind::invalid,
              std::format("Docker at {} is rootless: it cannot give tasks the host's folders, GPUs and ports as root; "
                          "run Docker as root, and let DOCKER_HOST name its socket",
                          engine.address()));
}

// What kept a container's program from running, if it was that: the engine gives such a container a shell's exit
// status.
std::string start_failure_of(docker::EngineClient& engine, const std::string& container, const std::stop_token& stop) {
  try {
    const auto details = engine.inspect(container, {.stop = stop});
    if (!details || details->status != docker::ContainerStatus::created) return {};
    if (details->exit_code == exit_status::kCommandNotFound) return "not_found";
    return details->exit_code == exit_status::kNotExecutable ? "not_executable" : "";
  } catch (const std::exception&) {
    return {};
  }
}

void throw_if_stopped(const std::stop_token& stop) {
  if (stop.stop_requested()) throw Error(ErrorKind::cancelled, "the task is being terminated");
}

void require_runner(const std::filesystem::path& binary) {
  if (::access(binary.c_str(), X_OK) != 0) throw os_error("find the runner", binary.string());
  if (!std::filesystem::is_regular_file(binary)) {
    throw Error(ErrorKind::invalid, std::format("the runner {} is not a file", binary.string()));
  }
}

void require_source(const std::string& source) {
  std::error_code failure;
  if (!std::filesystem::exists(source, failure))
    throw os_error("mount", printable(source), failure ? failure.value() : ENOENT);
}

// A missing folder is made, its parents as usual and itself writable for whatever user the job runs as.
void make_instance_folder(std::filesystem::path path) {
  if (std::filesystem::exists(path)) return;
  // Of "/data/" the last part is empty, and the folder its own parent.
  if (!path.has_filename()) path = path.parent_path();
  os::make_directories(path.parent_path(), 0755);
  os::make_directories(path, 0777);
}

// The engine looks names up in the image's /etc/passwd and /etc/group, which may be absent or call uid 0 otherwise.
std::string user_for_engine(const std::string& user) {
  const std::size_t colon = std::min(user.find(':'), user.size());
  const auto number_for = [](const std::string& name) { return name == "root" ? "0" : name; };
  if (colon == user.size()) return number_for(user);
  return number_for(user.substr(0, colon)) + ":" + number_for(user.substr(colon + 1));
}

}  // namespace

std::string runner_folder_of(const std::vector<docker::ContainerMount>& mounts) {
  const auto found = std::ranges::find(mounts, docker::kRunnerFolderInContainer, &docker::ContainerMount::destination);
  return found == mounts.end() ? "" : found->source;
}

bool belongs_to(const docker::ContainerDetails& container, const std::string& task_id, const TaskStore& store) {
  const auto label = container.labels.find(docker::kTaskIdLabel);
  return label != container.labels.end() && label->second == task_id && store.owns(container.mounts, container.labels);
}

void Launcher::launch(TaskState& state, const Secret& registry_password, const Publish& publish,
                      const std::function<void(const docker::PullProgress&)>& on_progress,
                      const std::function<void(const std::stop_token&)>& await_start,
                      const std::stop_token& stop) const {
  end_with(termination_reason::kExecutorError, [&] { prepare(state, publish, stop); });
  end_with(termination_reason::kCreatingContainerError,
           [&] { pull(state, registry_password, publish, on_progress, stop); });
  throw_if_stopped(stop);
  end_with(termination_reason::kCreatingContainerError, [&] {
    explained(engine_mode(stop), [&] { create(state, registry_password, publish, on_progress, stop); });
  });
  throw_if_stopped(stop);
  if (state.config.container && state.config.container->start == StartMoment::later)
    end_with(termination_reason::kExecutorError, [&] { await_start(stop); });
  end_with(termination_reason::kContainerExitedWithError,
           [&] { explained(engine_mode(stop), [&] { start(state, publish, stop); }); });
}

void Launcher::prepare(TaskState& state, const Publish& publish, const std::stop_token& stop) const {
  throw_if_stopped(stop);
  const TaskConfig& config = state.config;
  state.become(TaskStatus::preparing);
  if (config.process() != ProcessKind::image) require_runner(settings_.runner_binary);
  // It may take minutes, for which the task is shown to be waiting.
  if (config.gpu != 0 && !parts_.gpus.known()) publish(state);
  state.gpu_ids = config.gpu == 0 ? std::vector<std::string>{} : parts_.gpus.take(config.gpu, stop);
  state.holds_keys = !config.host_ssh_keys.empty();
  state.holds_volumes = !config.volumes.empty();
  try {
    publish(state);
  } catch (...) {
    // Nobody will find them in the journal.
    parts_.gpus.give_back(*state.gpu_ids);
    state.gpu_ids->clear();
    throw;
  }

  if (config.process() != ProcessKind::image) store_.make_runner_folder(state.container_name);
  if (config.process() == ProcessKind::hold) give_token(state, publish);
  if (state.holds_keys) parts_.keys.hold(config.id, config.host_ssh_user, config.host_ssh_keys);
  throw_if_stopped(stop);
  if (state.holds_volumes) parts_.volumes.mount(config.id, config.volumes, stop);
  for (const InstanceMount& mount : config.instance_mounts) make_instance_folder(mount.instance_path);
  if (!config.container) return;
  for (const docker::BindMount& mount : config.container->mounts) require_source(mount.source);
  throw_if_stopped(stop);
  resources_.make(config.id, config, stop);
}

void Launcher::give_token(TaskState& state, const Publish& publish) const {
  state.runner_token = make_runner_token();
  publish(state);
  os::replace_file(store_.runner_folder(state.container_name) / kTokenFile, state.runner_token.reveal(), 0600);
}

void Launcher::pull(TaskState& state, const Secret& registry_password, const Publish& publish,
                    const std::function<void(const docker::PullProgress&)>& on_progress,
                    const std::stop_token& stop) const {
  throw_if_stopped(stop);
  state.become(TaskStatus::pulling);
  publish(state);
  require_root(engine_mode(stop), parts_.engine);
  parts_.puller.ensure(pull_request(state, registry_password, on_progress), stop);
}

docker::EngineMode Launcher::engine_mode(const std::stop_token& stop) const {
  try {
    return parts_.engine.mode({.stop = stop});
  } catch (const std::exception& error) {
    if (error_kind(error) == ErrorKind::cancelled) throw;
    spdlog::warn("Cannot find out how Docker runs: {}", error.what());
    return {};
  }
}

docker::PullRequest Launcher::pull_request(const TaskState& state, const Secret& registry_password,
                                           const std::function<void(const docker::PullProgress&)>& on_progress) const {
  const auto& container = state.config.container;
  return {.image = docker::parse_image_reference(state.config.image_name),
          .policy = container ? container->pull : docker::PullPolicy::missing,
          .credentials = {.username = state.config.registry_username, .password = registry_password},
          .log_file = store_.pull_log(state.container_name),
          .on_progress = on_progress};
}

void Launcher::create(TaskState& state, const Secret& registry_password, const Publish& publish,
                      const std::function<void(const docker::PullProgress&)>& on_progress,
                      const std::stop_token& stop) const {
  state.become(TaskStatus::creating);
  state.create_sent = true;
  publish(state);
  try {
    make_container(state, container_spec(state, stop), stop);
  } catch (const Error& error) {
    docker::PullRequest request = pull_request(state, registry_password, on_progress);
    if (error.kind() != ErrorKind::not_found || request.policy == docker::PullPolicy::never) throw;
    // The image was removed meanwhile, or has no content for this platform.
    spdlog::warn("task {}: pulling once more: {}", printable(state.config.id), error.what());
    request.policy = docker::PullPolicy::always;
    parts_.puller.ensure(request, stop);
    make_container(state, container_spec(state, stop), stop);
  }
  // Known before it starts, since what runs in it may call the API at once.
  publish(state);
}

void Launcher::make_container(TaskState& state, const docker::ContainerSpec& spec, const std::stop_token& stop) const {
  const nlohmann::json body = docker::create_body(spec);
  try {
    state.container_id = parts_.engine.create(state.container_name, body, {.stop = stop});
    return;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::conflict) throw;
    // Left from a task of the same id whose end was interrupted; anybody else's stays.
    const auto existing = parts_.engine.inspect(state.container_name, {.stop = stop});
    if (existing && !belongs_to(*existing, state.config.id, store_)) throw;
    spdlog::warn("task {}: removed an old container {}", printable(state.config.id), state.container_name);
    if (existing) parts_.engine.remove(existing->id, {.stop = stop});
  }
  state.container_id = parts_.engine.create(state.container_name, body, {.stop = stop});
}

void Launcher::start_container(TaskState& state, const Publish& publish, const std::stop_token& stop) const {
  docker::ContainerSpec spec = container_spec(state, stop);
  while (true) {
    try {
      return parts_.engine.start(state.container_id, {.stop = stop});
    } catch (const std::exception& error) {
      if (spec.gpus.nvidia_ids.empty() || !find_another_way(spec.gpus, error.what(), stop)) {
        state.start_failure = start_failure_of(parts_.engine, state.container_id, stop);
        const std::string hint =
            gpu::names_driver_mismatch(error.what()) ? std::format(" ({})", gpu::kDriverMismatch) : "";
        throw Error(error_kind(error), error.what() + hint);
      }
      spdlog::warn("task {}: requesting its GPUs in another way: {}", printable(state.config.id), error.what());
    }
    parts_.engine.remove(state.container_id, {.stop = stop});
    make_container(state, spec, stop);
    publish(state);
  }
}

bool Launcher::find_another_way(docker::GpuSettings& gpus, std::string_view reason, const std::stop_token& stop) const {
  const auto devices =
      gpu::needs_cdi(reason) ? parts_.engine.info({.stop = stop}).cdi_devices : std::vector<std::string>();
  return parts_.gpus.find_another_way(gpus, reason, devices);
}

void Launcher::start(TaskState& state, const Publish& publish, const std::stop_token& stop) const {
  start_container(state, publish, stop);
  state.ports.emplace();
  if (state.config.network_mode == docker::NetworkMode::bridge) {
    if (const auto details = parts_.engine.inspect(state.container_id, {.stop = stop})) state.ports = details->ports;
  }
  state.become(TaskStatus::running);
  publish(state);
}

docker::ContainerSpec Launcher::container_spec(const TaskState& state, const std::stop_token& stop) const {
  const TaskConfig& config = state.config;
  docker::ContainerSpec spec;
  spec.engine = engine_mode(stop);
  spec.task_id = config.id;
  spec.image = docker::parse_image_reference(config.image_name).name();
  spec.user = user_for_engine(config.container_user);
  spec.pids_limit = settings_.task_pids;
  spec.disk_limit = settings_.task_disk;
  spec.privileged = config.privileged || settings_.privileged;
  spec.cpu = config.cpu;
  spec.memory = config.memory;
  spec.shm_size = config.shm_size;
  spec.network = config.network_mode;
  for (const VolumeMount& mount : config.volume_mounts) {
    spec.mounts.push_back({.source = std::format("{}/{}", volume::kVolumesFolder, mount.name), .target = mount.path});
  }
  for (const InstanceMount& mount : config.instance_mounts) {
    spec.mounts.push_back({.source = mount.instance_path, .target = mount.path});
  }
  spec.environment = settings_.environment;
  if (config.container) {
    spec.settings = config.container->settings;
    const auto& mounts = config.container->mounts;
    spec.mounts.insert(spec.mounts.end(), mounts.begin(), mounts.end());
  }
  if (config.process() == ProcessKind::image) {
    spec.home = store_.home();
  } else {
    add_runner(spec, state);
  }
  spec.infiniband = std::filesystem::exists("/dev/infiniband");
  if (config.gpu == 0) return spec;
  if (config.gpu_devices.empty()) {
    // NOLINTNEXTLINE(bugprone-unchecked-optional-access): they were taken before
    spec.gpus = parts_.gpus.settings(*state.gpu_ids);
  } else {
    spec.gpus.devices = config.gpu_devices;
  }
  return spec;
}

void Launcher::add_runner(docker::ContainerSpec& spec, const TaskState& state) const {
  const TaskConfig& config = state.config;
  const bool host_mode = config.network_mode == docker::NetworkMode::host;
  const bool hold = config.process() == ProcessKind::hold;
  spec.runner_folder = store_.runner_folder(state.container_name);
  spec.runner_binary = settings_.runner_binary;
  // It must be root, whatever the image says.
  if (hold) spec.user = "0";
  spec.command = docker::runner_command({.log_level = settings_.runner_log_level,
                                         .http_port = settings_.runner_http_port,
                                         .ssh_port = settings_.runner_ssh_port,
                                         .http_address = host_mode ? "localhost" : "",
                                         .authorized_keys = config.container_ssh_keys,
                                         .ssh_log_level = settings_.runner_ssh_log_level,
                                         .token_file = hold ? token_path_in_container() : ""});
  if (host_mode) return;
  spec.published_ports = {settings_.runner_http_port};
  // One that holds has no SSH server.
  if (!hold) spec.published_ports.push_back(settings_.runner_ssh_port);
}

}  // namespace dstack::shim::task
