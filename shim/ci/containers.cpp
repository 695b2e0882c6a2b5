#include "shim/ci/containers.h"

#include <algorithm>
#include <format>
#include <vector>

#include "common/termination_reason.h"
#include "common/text/split.h"
#include "shim/client/pull_display.h"
#include "shim/client/text.h"

namespace dstack::shim::ci {

namespace {

constexpr std::chrono::seconds kRunnerLimit{60};
constexpr std::chrono::milliseconds kRunnerInterval{50};
// A driver that was killed may have sent one more.
constexpr int kRemovalRounds = 3;

}  // namespace

void Containers::submit(const ContainerRequest& request) {
  nlohmann::json container = request.container;
  if (!owner_.empty()) container["owner"] = owner_.string();
  nlohmann::json task = {{"id", names_.task(request.role)},
                         {"name", request.name},
                         {"image_name", request.image},
                         {"gpu", request.gpus},
                         {"cpu", request.cpus},
                         {"memory", request.memory},
                         {"shm_size", request.shm_size},
                         {"privileged", request.privileged},
                         {"network_mode", "bridge"},
                         {"local", true},
                         {"container", std::move(container)}};
  if (!request.user.empty()) task["container_user"] = request.user;
  if (request.login) {
    task["registry_username"] = request.login->username;
    task["registry_password"] = request.login->password.reveal();
  }
  shim_.submit(task);
}

client::TaskDetails Containers::await_start(const std::string& role, const std::stop_token& stop) {
  const std::string id = names_.task(role);
  client::PullDisplay display;
  while (true) {
    const client::TaskEntry task = shim_.task(id);
    display.show(task);
    if (task.status == "running" || task.ended()) break;
    if (!os::pause(clock_, client::kPollInterval, stop))
      throw Error(ErrorKind::cancelled, std::format("wait for container {}: cancelled", task.container_name));
  }
  display.finish();
  client::TaskDetails details = shim_.details(id);
  if (!details.task.ended() || details.ended_in == "running") return details;
  const std::string reason =
      details.task.termination_message.empty() ? client::ending_of(details.task) : details.task.termination_message;
  if (details.ended_in == "pulling") throw NoImage(reason);
  throw Error(ErrorKind::unavailable, reason);
}

std::optional<client::TaskDetails> Containers::find(const std::string& role) {
  try {
    return shim_.details(names_.task(role));
  } catch (const std::exception& error) {
    if (error_kind(error) != ErrorKind::not_found) throw;
    return std::nullopt;
  }
}

client::HeldRunner Containers::runner(client::TaskDetails details) {
  const os::SteadyTime deadline = clock_.now() + kRunnerLimit;
  const std::string name = details.task.name;
  const auto wait = [&](const client::TaskEntry& task) {
    if (task.ended())
      throw Error(ErrorKind::unavailable, std::format("container {} has ended: {}", name, client::ending_of(task)));
    if (clock_.now() >= deadline)
      throw Error(ErrorKind::timed_out, std::format("the runner of container {} does not answer", name));
    os::pause(clock_, kRunnerInterval, {});
  };
  // One that ended at once has lost its ports before the shim says that it has ended, and why.
  while (!details.task.runner_port) {
    wait(details.task);
    details = shim_.details(details.task.id);
  }
  client::HeldRunner runner(*details.task.runner_port, details.runner_token);
  while (!runner.answers()) wait(shim_.task(details.task.id));
  return runner;
}

std::string Containers::last_lines(const std::string& role, std::size_t count) {
  std::string output;
  for (std::uint64_t offset = 0;;) {
    std::string piece = shim_.output(names_.task(role), offset);
    if (piece.empty()) break;
    offset += piece.size();
    output = std::move(piece);
  }
  const std::vector<std::string_view> lines = text::split_lines(output);
  std::string last;
  for (std::size_t i = lines.size() - std::min(count, lines.size()); i < lines.size(); ++i)
    last += std::format("{}\n", client::legible(lines[i]));
  return last;
}

void Containers::remove_task(const std::string& id) {
  try {
    shim_.terminate(id, termination_reason::kDoneByRunner, "", std::chrono::seconds{0});
    shim_.remove(id);
  } catch (const std::exception& error) {
    if (error_kind(error) != ErrorKind::not_found) throw;
  }
}

void Containers::remove_all(std::string_view roles) {
  const std::string prefix = names_.task(roles);
  std::string problem;
  for (int round = 0; round < kRemovalRounds; ++round) {
    problem.clear();
    bool found = false;
    for (const client::TaskEntry& task : shim_.tasks()) {
      if (!task.id.starts_with(prefix)) continue;
      found = true;
      try {
        remove_task(task.id);
      } catch (const std::exception& error) {
        problem = std::format("remove {}: {}", task.name, error.what());
      }
    }
    if (!found) return;
  }
  if (!problem.empty()) throw Error(ErrorKind::unavailable, problem);
}

}  // namespace dstack::shim::ci
