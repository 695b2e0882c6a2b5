#include "shim/doctor/leftover_checks.h"

#include <algorithm>
#include <format>

#include "common/error.h"
#include "common/os/directory.h"
#include "common/os/file.h"
#include "common/os/mounts.h"
#include "shim/docker/container_spec.h"
#include "shim/task/task_store.h"
#include "shim/volume/volume_manager.h"

namespace dstack::shim::doctor {

namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kListLimit{5};
constexpr std::size_t kNamed = 5;  // the rest is counted

// "a, b and 3 more"
std::string enumerate(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kNamed); ++i) text += (i == 0 ? "" : ", ") + names[i];
  return names.size() > kNamed ? std::format("{} and {} more", text, names.size() - kNamed) : text;
}

void take_up(const fs::path& folder, Journals& journals) {
  // The shim is about to write the first one, or has removed it: not a task yet, or no more.
  if (!task::has_journal(folder)) return;
  // Even a journal that cannot be read says whose container this is.
  journals.container_names.insert(folder.filename().string());
  try {
    const task::TaskState state = task::read_journal(folder);
    if (!state.holds_volumes || state.given_back) return;
    for (const volume::VolumeInfo& volume : state.config.volumes) journals.volumes.insert(volume.name);
  } catch (const std::exception&) {
    ++journals.unreadable;
  }
}

// The folder on the host that the container has as the runner's, or would have if it had a runner.
fs::path runner_folder(const docker::ContainerSummary& container) {
  const auto home = container.labels.find(docker::kHomeLabel);
  if (home != container.labels.end()) return fs::path(home->second) / "runners" / container.name;
  const auto found =
      std::ranges::find(container.mounts, docker::kRunnerFolderInContainer, &docker::ContainerMount::destination);
  return found == container.mounts.end() ? fs::path() : fs::path(found->source);
}

}  // namespace

Journals read_journals(const fs::path& home) {
  Journals journals;
  const os::Listing folders = os::list_directory(home / "tasks");
  if (folders.failure == std::errc::no_such_file_or_directory) return journals;
  if (folders.failure) throw os_error("read", (home / "tasks").string(), folders.failure.value());
  for (const std::string& name : folders.names) take_up(home / "tasks" / name, journals);
  return journals;
}

Finding judge_containers(const std::vector<docker::ContainerSummary>& containers, const Journals& journals,
                         const fs::path& home) {
  std::vector<std::string> unknown;
  std::size_t known = 0;
  std::size_t foreign = 0;
  for (const docker::ContainerSummary& container : containers) {
    const fs::path folder = runner_folder(container);
    if (!task::is_runner_folder(folder, home / "runners")) {
      ++foreign;
    } else if (journals.container_names.contains(folder.filename().string())) {
      ++known;
    } else {
      unknown.push_back(readable(container.name));
    }
  }
  const std::string others = foreign == 0 ? "" : std::format("; {} of shims with another home", foreign);
  if (unknown.empty() && journals.unreadable > 0) {
    return warning(std::format("{} of known tasks; {} journals in {} cannot be read", known, journals.unreadable,
                               (home / "tasks").string()),
                   "the shim's log says what is wrong with each, at its start; their tasks are not taken up again");
  }
  if (unknown.empty()) return ok(std::format("{} of known tasks, none left behind{}", known, others));
  return warning(
      std::format("{} that no task is known of: {}{}", unknown.size(), enumerate(unknown), others),
      "restart dstack-shim: it takes over those that run, and removes those that have ended; or `docker rm -fv NAME`");
}

Finding judge_folders(const std::vector<std::string>& folders, const Journals& journals) {
  std::vector<std::string> unknown;
  for (const std::string& name : folders) {
    if (!journals.container_names.contains(name)) unknown.push_back(readable(name));
  }
  if (unknown.empty()) return ok(std::format("{} of known tasks, none left behind", folders.size()));
  return warning(std::format("{} of no known task: {}", unknown.size(), enumerate(unknown)),
                 "a running dstack-shim removes them at its start and every hour, unless a container mounts them");
}

Finding judge_volumes(const std::vector<os::Mount>& mounts, const Journals& journals) {
  std::vector<std::string> unused;
  std::size_t used = 0;
  for (const os::Mount& mount : mounts) {
    const fs::path point = mount.mount_point;
    if (point.parent_path() != volume::kVolumesFolder) continue;
    if (journals.volumes.contains(point.filename().string())) {
      ++used;
    } else {
      unused.push_back(readable(mount.mount_point));
    }
  }
  if (unused.empty()) return ok(std::format("{} mounted for tasks, none left behind", used));
  return warning(std::format("{} mounted, and no task of this home holds them: {}", unused.size(), enumerate(unused)),
                 "see with `fuser -vm FOLDER` that nobody works there, then `umount FOLDER`; until then a server "
                 "cannot detach the disk");
}

Finding check_containers(const Host& host) {
  if (!host.engine) return warning("unknown without Docker", "fix Docker first");
  std::vector<docker::ContainerSummary> containers;
  try {
    containers = host.engine->list(docker::kTaskLabel, {.limit = kListLimit});
  } catch (const std::exception&) {
    return warning("unknown without Docker", "fix Docker first");
  }
  return judge_containers(containers, read_journals(host.home), host.home);
}

Finding check_folders(const Host& host) {
  const os::Listing folders = os::list_directory(host.home / "runners");
  if (folders.failure && folders.failure != std::errc::no_such_file_or_directory)
    throw os_error("read", (host.home / "runners").string(), folders.failure.value());
  return judge_folders(folders.names, read_journals(host.home));
}

Finding check_volumes(const Host& host) {
  return judge_volumes(os::read_mounts(host.root / "proc/self/mountinfo"), read_journals(host.home));
}

}  // namespace dstack::shim::doctor
