#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/json/object_reader.h"
#include "shim/docker/container_settings.h"
#include "shim/docker/container_spec.h"
#include "shim/docker/image_pull.h"

namespace dstack::shim::task {

// What is process 1 of a task's container.
enum class ProcessKind {
  job,   // the runner, which runs a job
  hold,  // the runner, which holds the container for programs that are started in it
  image  // the image's own program
};

// When the container is started: as soon as it is made, or once the client says so, which has attached to it by then.
enum class StartMoment { now, later };

// What a local task asks of its container beyond what a server can ask.
struct ContainerConfig {
  ProcessKind process = ProcessKind::job;
  StartMoment start = StartMoment::now;
  docker::ContainerSettings settings;
  std::vector<docker::BindMount> mounts;  // of files and folders that exist
  std::vector<std::string> kept_volumes;  // those of settings.volumes that outlive the task
  docker::PullPolicy pull = docker::PullPolicy::missing;
  std::filesystem::path owner;  // a file that a process holds a lock on, or the task is removed; empty: none

  bool keeps(const std::string& volume) const;
};

// The object `container` of a request, or of a journal, where the environment is left out since it may hold secrets.
// Throws Error (invalid) that names a field whose type or value is wrong.
ContainerConfig read_container(const json::ObjectReader& reader);
nlohmann::json write_container(const ContainerConfig& config);

std::string_view name_of(ProcessKind process);

}  // namespace dstack::shim::task
