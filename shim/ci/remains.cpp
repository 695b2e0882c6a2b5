#include "shim/ci/remains.h"

#include <spdlog/spdlog.h>

#include <format>

#include "common/error.h"
#include "common/os/directory.h"
#include "shim/ci/cloud/left_run.h"
#include "shim/ci/leftover_containers.h"
#include "shim/ci/own_shim.h"
#include "shim/ci/requests.h"
#include "shim/ci/succession.h"

namespace dstack::shim::ci {

namespace {

constexpr std::chrono::seconds kBusyLimit{30};

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

Removal remove_runners(Journal& journal, Ci& ci, const Secret& own, const Patience& patience) {
  Removal result = remove_all(ci, journal.earlier, patience);
  if (!journal.runner.empty()) {
    const Removal removal = ci.remove(journal.runner, own, patience);
    if (removal == Removal::busy) return Removal::busy;
    if (removal == Removal::removed_by_own_token) result = removal;
    journal.runner.clear();
  } else if (journal.may_be_listed) {
    const std::string& name = journal.listed_name.empty() ? journal.name : journal.listed_name;
    for (const ListedRunner& runner : ci.runners(patience)) {
      if (runner.name != name || runner.online) continue;
      if (ci.remove(runner.id, {}, patience) == Removal::busy) result = Removal::busy;
    }
    if (result == Removal::busy) return result;
  }
  journal.may_be_listed = false;
  return result;
}

bool remove_remains(WorkFolder& folder, Journal journal, Ci& ci, bool also_folder, os::Clock& clock,
                    const Patience& patience) {
  if (!journal.run.empty()) {
    cloud::stop_left_run(journal, clock, patience);
    journal.run.clear();
  }
  const os::SteadyTime end = clock.now() + kBusyLimit;
  GrowingPause growing;
  bool is_busy = remove_runners(journal, ci, {}, patience) == Removal::busy;
  while (is_busy && clock.now() < end) {
    if (!os::pause(clock, growing.next(), patience.stop))
      throw Error(ErrorKind::cancelled, std::format("remove runner {}: cancelled", journal.name));
    is_busy = remove_runners(journal, ci, {}, patience) == Removal::busy;
  }
  if (journal.own_shim) remove_own_shim(folder, patience);
  if (journal.shim_port != 0) remove_leftover_containers(folder, journal.base_url, static_cast<int>(journal.shim_port));
  journal.own_shim = false;
  if (is_busy) {
    write_journal(folder.path(), journal);
    spdlog::warn("Runner {} of the launcher of {} still has a job at the CI: it stays in the list", journal.name,
                 folder.path().string());
    return false;
  }
  folder.clear(also_folder && journal.made_folder);
  spdlog::info("Removed what the launcher of {} left: runner {}", folder.path().string(), journal.name);
  return true;
}

}  // namespace dstack::shim::ci
