#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "common/error.h"
#include "common/os/clock.h"
#include "shim/ci/job_names.h"
#include "shim/ci/registry_login.h"
#include "shim/client/held_runner.h"
#include "shim/client/shim_api.h"
#include "shim/client/task_details.h"

namespace dstack::shim::ci {

// The image of a container cannot be had.
class NoImage : public Error {
 public:
  explicit NoImage(const std::string& message) : Error(ErrorKind::not_found, message) {}
};

struct ContainerRequest {
  std::string role;  // in the job: "job", "helper", "service-1"
  std::string name;  // of the task, for a person
  std::string image;
  std::optional<RegistryLogin> login;
  std::string user;       // empty: the image's, or root where the container is held
  std::int64_t gpus = 0;  // -1: all that are free
  double cpus = 0;
  std::uint64_t memory = 0;    // bytes
  std::uint64_t shm_size = 0;  // bytes
  bool privileged = false;
  nlohmann::json container;  // docs/container-tasks.md
};

// The containers of a job, as tasks of a running shim. Members throw Error.
class Containers {
 public:
  // `owner` is a file whose lock keeps the tasks alive; empty: none. `names` and `shim` must outlive this.
  Containers(client::ShimApi& shim, const JobNames& names, std::filesystem::path owner,
             os::Clock& clock = os::system_clock())
      : shim_(shim), names_(names), owner_(std::move(owner)), clock_(clock) {}

  void submit(const ContainerRequest& request);
  // Shows the pull on stderr until the container runs or has ended; what kept it from starting is thrown, as NoImage if
  // it was its image. `stop` ends the waiting (Error, cancelled).
  client::TaskDetails await_start(const std::string& role, const std::stop_token& stop = {});
  client::TaskDetails details(const std::string& role) { return shim_.details(names_.task(role)); }
  // Nothing if the job has no such container.
  std::optional<client::TaskDetails> find(const std::string& role);
  // The runner of a held container that runs, once it answers.
  client::HeldRunner runner(client::TaskDetails details);
  // What a container has written last.
  std::string last_lines(const std::string& role, std::size_t count);
  // Ends and removes one; one that is not there is fine.
  void remove(const std::string& role) { remove_task(names_.task(role)); }
  // Ends and removes all there are, with their networks and volumes. One that cannot be removed does not keep the
  // others from it.
  // `roles`: only those whose role begins with it.
  void remove_all(std::string_view roles = {});

 private:
  void remove_task(const std::string& id);

  client::ShimApi& shim_;
  const JobNames& names_;
  const std::filesystem::path owner_;
  os::Clock& clock_;
};

}  // namespace dstack::shim::ci
