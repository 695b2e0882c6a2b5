#include "shim/ci/launcher_setup.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <format>

#include "common/error.h"
#include "common/os/remove_tree.h"
#include "common/text/letter_case.h"
#include "shim/ci/kinds.h"
#include "shim/ci/leftover_containers.h"

namespace dstack::shim::ci {

LauncherSetup::LauncherSetup(Asked asked, std::function<void(const std::string&)> shim_ended, os::Clock& clock)
    : asked_(std::move(asked)), shim_ended_(std::move(shim_ended)), clock_(clock) {
  workdir_ = asked_.flags.workdir.empty() ? default_parent() / asked_.name : asked_.flags.workdir;
}

bool LauncherSetup::prepare(const Patience& patience) {
  target_ = find_target(asked_.repository, asked_.driver, clock_, patience);
  journal_ = {.name = asked_.name,
              .repo = asked_.repository.url(),
              .driver = target_.driver,
              .base_url = target_.base_url,
              .path = target_.path};
  Connection connection = connect_with_agent(journal_, asked_.token, asked_.given, asked_.flags, clock_);
  ci_ = std::move(connection.ci);
  agent_ = std::move(connection.agent);
  succession_ = std::make_unique<Succession>(*ci_, asked_.name, asked_.flags.labels, clock_);
  ci_->check(patience);
  const std::vector<ListedRunner> runners = ci_->runners(patience);
  const std::vector<Remains> remains = find_remains(workdir_.parent_path(), workdir_);
  if (find_another(runners, remains, patience)) return false;
  folder_.emplace(workdir_);
  os::remove_file(folder_->going_away());  // of another time
  journal_.made_folder = folder_->was_made();
  try {
    remove_dead_of_own_folder(patience);
  } catch (...) {
    folder_.reset();  // clean_up() would remove the journal of what is still there
    throw;
  }
  // Before anything is put into the folder: without a journal no later launcher would find it.
  write_journal();
  remove_dead(find_remains(workdir_.parent_path(), {}), patience);
  if (asked_.check_name) asked_.check_name();
  free_name(runners, remains, patience);
  if (asked_.flags.cloud.is_wanted()) return true;
  agent_->find(patience);
  find_shim();
  warn_of_open_flags();
  return true;
}

// A runner of a launcher that is dead is no runner, whatever the CI shows for a while.
bool LauncherSetup::is_dead(const std::vector<Remains>& remains, const ListedRunner& runner) const {
  return std::ranges::any_of(remains, [&](const Remains& remain) {
    const Journal& journal = remain.journal;
    if (journal.base_url != target_.base_url) return false;
    return journal.runner == runner.id || std::ranges::contains(journal.earlier, runner.id) ||
           (journal.runner.empty() && journal.may_be_listed && journal.name == runner.name && !runner.online);
  });
}

bool LauncherSetup::find_another(const std::vector<ListedRunner>& runners, const std::vector<Remains>& remains,
                                 const Patience& patience) {
  if (!asked_.flags.reuse && !asked_.flags.reuse_idle) return false;
  for (const ListedRunner& runner : runners) {
    if (!runner.online || runner.paused || is_dead(remains, runner)) continue;
    const bool has_name = text::equal_ignoring_case(runner.name, asked_.name);
    if (!has_name && !ci_->has_labels(runner, asked_.flags.labels, patience)) continue;
    if (asked_.flags.reuse_idle && ci_->is_busy(runner.id, patience)) continue;
    spdlog::info("Runner {} ({}) is online and is used instead", printable(runner.name), runner.id);
    return true;
  }
  return false;
}

// What lies there has to go, or the new journal would hide it.
void LauncherSetup::remove_dead_of_own_folder(const Patience& patience) {
  const auto own = read_journal(workdir_);
  if (!own) return;
  bool all = false;
  if (own->repo == journal_.repo) {
    all = remove_remains(locked_folder(), *own, *ci_, false, clock_, patience);
  } else {
    const auto other = connect(*own, asked_.token, clock_);
    other->check(patience);
    all = remove_remains(locked_folder(), *own, *other, false, clock_, patience);
    if (!all) {
      throw Error(ErrorKind::conflict,
                  std::format("work folder {} has a runner of {} that still has a job: remove it with dstack-shim ci "
                              "clean, or give another folder",
                              workdir_.string(), own->repo));
    }
  }
  journal_.made_folder = own->made_folder;
  if (all) {
    folder_.reset();
    folder_.emplace(workdir_);
    return;
  }
  const auto rest = read_journal(workdir_).value_or(Journal{});
  journal_.earlier = rest.earlier;
  if (!rest.runner.empty()) journal_.earlier.push_back(rest.runner);
  succession_->expect_number();
  write_journal();
}

void LauncherSetup::remove_dead(const std::vector<Remains>& remains, const Patience& patience) {
  for (const Remains& remain : remains) {
    if (remain.folder == workdir_ || remain.journal.repo != journal_.repo) continue;
    try {
      auto folder = WorkFolder::take_over(remain.folder);
      if (folder) remove_remains(*folder, remain.journal, *ci_, true, clock_, patience);
    } catch (const std::exception& error) {
      if (error_kind(error) == ErrorKind::cancelled) throw;
      spdlog::warn("Work folder {} of a dead launcher: {}", remain.folder.string(), error.what());
    }
  }
}

void LauncherSetup::free_name(const std::vector<ListedRunner>& runners, const std::vector<Remains>& remains,
                              const Patience& patience) {
  for (const ListedRunner& runner : runners) {
    if (runner.name != asked_.name) continue;
    if (!is_dead(remains, runner)) {
      if (runner.online || ci_->is_busy(runner.id, patience))
        throw Error(ErrorKind::conflict, std::format("runner {} is already in use", asked_.name));
    }
    // One that is ours and busy is left to the registration, which waits for it.
    ci_->remove(runner.id, {}, patience);
  }
}

void LauncherSetup::find_shim() {
  const ContainerFlags& flags = asked_.flags.containers;
  const int port = flags.port();
  if (!asked_.in_cloud_run && shim_answers(port)) {
    journal_.shim_port = port;
    if (flags.gpus.empty()) {
      spdlog::info("Jobs get no GPUs: the dstack-shim on port {} may serve a dstack server; --gpus gives them some",
                   port);
    } else {
      spdlog::info(
          "Jobs get GPUs ({}) of the dstack-shim on port {}: a dstack server that it serves does not know of that",
          flags.gpus, port);
    }
    return;
  }
  if (flags.shim_port) return report_missing_shim(std::format("no dstack-shim answers on port {}", port));
  if (::geteuid() != 0) {
    return report_missing_shim(
        std::format("no dstack-shim answers on port {}: start one, or start this as root", port));
  }
  if (!docker_answers()) {
    return report_missing_shim(
        std::format("no dstack-shim answers on port {}, and Docker does not answer either", port));
  }
  needs_own_shim_ = true;
  spdlog::info("Jobs get {} of a dstack-shim started for them",
               flags.gpus.empty() || flags.gpus == "all" ? "all GPUs" : std::format("GPUs ({})", flags.gpus));
}

// Jobs on the host need none.
void LauncherSetup::report_missing_shim(const std::string& problem) const {
  if (!runs_host_jobs()) throw Error(ErrorKind::unavailable, problem);
  spdlog::warn("{}: jobs with a container will fail", problem);
}

bool LauncherSetup::runs_host_jobs() const { return asked_.flags.containers.host_jobs && target_.driver == "github"; }

void LauncherSetup::warn_of_open_flags() const {
  const ContainerFlags& flags = asked_.flags.containers;
  if (runs_host_jobs()) {
    spdlog::warn("--host-jobs: jobs without a container run on this host as {}",
                 ::geteuid() == 0 ? "root" : "this user");
  }
  if (flags.privileged) spdlog::warn("--privileged: jobs can become root on this host");
  for (const std::string& text : flags.volumes) {
    const auto volume = parse_volume(text);
    if (volume && volume->source.ends_with("docker.sock"))
      spdlog::warn("--volume {}: jobs can become root on this host", text);
  }
}

void LauncherSetup::ensure_shim(const std::stop_token& stop) {
  if (!needs_own_shim_ || (shim_ && shim_->runs())) return;
  shim_.reset();
  journal_.own_shim = true;
  write_journal();
  try {
    shim_ = std::make_unique<OwnShim>(locked_folder().shim(), shim_ended_, stop);
  } catch (const std::exception& error) {
    if (error_kind(error) == ErrorKind::cancelled) throw;
    report_missing_shim(error.what());
    needs_own_shim_ = false;
  }
}

WorkFolder& LauncherSetup::locked_folder() {
  if (!folder_) throw Error(ErrorKind::internal, std::format("work folder {} is not locked", workdir_.string()));
  return *folder_;
}

void LauncherSetup::write_journal() const { ci::write_journal(workdir_, journal_); }

Registration LauncherSetup::register_runner(const Patience& patience) {
  const os::Lock lock(work_);
  if (!journal_.runner.empty() && !asked_.given) journal_.earlier.push_back(std::exchange(journal_.runner, ""));
  ensure_shim(patience.stop);
  if (!asked_.flags.cloud.is_wanted()) agent_->prepare(locked_folder(), container_flags(), patience);
  const auto announce = [this](const std::string& name) {
    journal_.may_be_listed = true;
    journal_.listed_name = name == journal_.name ? "" : name;
    write_journal();
  };
  try {
    Registration registration = succession_->next(journal_.earlier, announce, patience);
    journal_.runner = registration.id;
    write_journal();
    return registration;
  } catch (const CiFailure&) {
    journal_.may_be_listed = false;
    write_journal();
    throw;
  }
}

Removal LauncherSetup::remove_runners(const Secret& own, const Patience& patience) {
  const os::Lock lock(work_);
  const Removal removal = ci::remove_runners(journal_, *ci_, own, patience);
  write_journal();
  return removal;
}

bool LauncherSetup::is_listed(const std::string& runner, const Patience& patience) {
  remove_earlier(patience);
  return ci_->is_listed(runner, patience);
}

void LauncherSetup::remove_earlier(const Patience& patience) {
  const os::Lock lock(work_);
  if (journal_.earlier.empty()) return;
  try {
    remove_all(*ci_, journal_.earlier, patience);
    write_journal();
  } catch (const std::exception& error) {  // the next look, or the end, tries again
    spdlog::debug("{}", error.what());
  }
}

void LauncherSetup::note_run(const CloudRun& run) {
  const os::Lock lock(work_);
  journal_.run = run.name;
  journal_.submission = run.submission;
  journal_.dstack_url = run.url;
  journal_.dstack_project = run.project;
  journal_.may_be_listed = true;
  write_journal();
}

void LauncherSetup::forget_run() {
  const os::Lock lock(work_);
  journal_.run.clear();
  write_journal();
}

void LauncherSetup::hand_over() {
  {
    const os::Lock lock(work_);
    journal_.run.clear();
    journal_.runner.clear();
    journal_.may_be_listed = false;
  }
  clean_up();
}

void LauncherSetup::clean_up() {
  const os::Lock lock(work_);
  if (shim_) {
    std::string problem;
    if (shim_->stop(problem)) {
      journal_.own_shim = false;
    } else {
      spdlog::warn("The dstack-shim of this runner: {}", problem);
    }
    shim_.reset();
  }
  if (!folder_) return;
  if (journal_.shim_port != 0)
    remove_leftover_containers(*folder_, target_.base_url, static_cast<int>(journal_.shim_port));
  const bool something_left = journal_.own_shim || journal_.has_runners() || !journal_.run.empty();
  try {
    if (something_left) {
      write_journal();
    } else {
      folder_->clear(journal_.made_folder);
    }
  } catch (const std::exception& error) {
    spdlog::warn("{}", error.what());
  }
}

ContainerFlags LauncherSetup::container_flags() const {
  ContainerFlags flags = asked_.flags.containers;
  if (shim_) {
    flags.shim_port = shim_->port();
    if (flags.gpus.empty()) flags.gpus = "all";
  }
  return flags;
}

}  // namespace dstack::shim::ci
