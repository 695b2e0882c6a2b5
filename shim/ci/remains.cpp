#include "shim/ci/remains.h"

#include <spdlog/spdlog.h>

#include <format>

#include "common/error.h"
#include "common/os/directory.h"
#include "shim/ci/gitlab/gitlab.h"
#include "shim/ci/leftover_containers.h"
#include "shim/ci/own_shim.h"

namespace dstack::shim::ci {

namespace {

// Its containers are known to it alone: it is started once more, to remove them.
void remove_own_shim(const WorkFolder& folder, const Patience& patience) {
  if (os::list_directory(folder.shim() / "tasks").names.empty()) return;
  OwnShim shim(folder.shim(), [](const std::string&) {}, patience.stop);
  std::string problem;
  if (!shim.stop(problem)) throw Error(ErrorKind::unavailable, problem);
}

}  // namespace

std::vector<Remains> find_remains(const std::filesystem::path& parent, const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> folders;
  for (const std::string& name : os::list_directory(parent).names) folders.push_back(parent / name);
  if (!folder.empty() && folder.parent_path() != parent) folders.push_back(folder);
  std::vector<Remains> found;
  for (const std::filesystem::path& candidate : folders) {
    try {
      auto journal = read_journal(candidate);
      if (journal && !is_taken(candidate)) found.push_back({.folder = candidate, .journal = *std::move(journal)});
    } catch (const std::exception& error) {
      spdlog::warn("{}", error.what());
    }
  }
  return found;
}

Removal remove_runner(const Journal& journal, Ci& ci, const Secret& own, const Patience& patience) {
  if (!journal.runner.empty()) return ci.remove(journal.runner, own, patience);
  if (!journal.may_be_listed) return Removal::removed;
  for (const ListedRunner& runner : ci.runners(patience)) {
    if (runner.name == journal.name && !runner.online) ci.remove(runner.id, {}, patience);
  }
  return Removal::removed;
}

void remove_remains(WorkFolder& folder, const Journal& journal, Ci& ci, bool also_folder, const Patience& patience) {
  remove_runner(journal, ci, {}, patience);
  if (journal.own_shim) remove_own_shim(folder, patience);
  if (journal.shim_port != 0)
    remove_leftover_containers(folder.state(), journal.base_url, static_cast<int>(journal.shim_port));
  folder.clear(also_folder && journal.made_folder);
  spdlog::info("Removed what the launcher of {} left: runner {}{}", folder.path().string(), journal.name,
               journal.runner.empty() ? "" : std::format(" ({})", journal.runner));
}

std::unique_ptr<Ci> connect(const Journal& journal, const Secret& token, os::Clock& clock) {
  if (journal.driver != "gitlab")
    throw Error(ErrorKind::invalid,
                std::format("driver {} is not supported by this version", printable(journal.driver)));
  return std::make_unique<gitlab::GitLab>(journal.base_url, journal.path, token, clock);
}

}  // namespace dstack::shim::ci
