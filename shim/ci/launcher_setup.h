#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/os/clock.h"
#include "common/os/mutex.h"
#include "common/secret.h"
#include "shim/ci/agent.h"
#include "shim/ci/ci.h"
#include "shim/ci/infer.h"
#include "shim/ci/journal.h"
#include "shim/ci/launcher_flags.h"
#include "shim/ci/own_shim.h"
#include "shim/ci/remains.h"
#include "shim/ci/repository.h"
#include "shim/ci/succession.h"
#include "shim/ci/work_folder.h"

namespace dstack::shim::ci {

// What a launcher stands on: the CI, the work folder, the agent, the shim. One thread at a time uses it, but for
// is_listed() and ci().
class LauncherSetup {
 public:
  struct Asked {
    LauncherFlags flags;
    Repository repository;
    std::optional<std::string> driver;
    Secret token;
    std::string name;
    std::optional<GivenRunner> given = {};  // instead of a token
    // In a run of --cloud: a shim that answers there is the machine's, which serves the dstack server.
    bool in_cloud_run = false;
    // Called before a runner of the same name is removed; throws Error if the name cannot be used. May be missing.
    std::function<void()> check_name = {};
  };
  // A run of a dstack server, which the journal names until another launcher is in charge of the runner.
  struct CloudRun {
    std::string url;
    std::string project;
    std::string name;
    std::string submission;
  };
  // `shim_ended` is called on another thread.
  LauncherSetup(Asked asked, std::function<void(const std::string& how)> shim_ended, os::Clock& clock);

  // The checks, in the contract's order; nothing is made at the CI. False if --reuse found a runner. With --cloud
  // nothing of this machine is checked but the work folder. Throws Error.
  bool prepare(const Patience& patience);
  // Makes a runner, another if there was one already; the journal says so first. What its agent and its jobs need is
  // ready then. Throws Error; see has_runners().
  Registration register_runner(const Patience& patience);
  // Whether there may be a runner at the CI.
  bool has_runners() const { return journal_.has_runners(); }
  // Busy: GitHub keeps one that has a job.
  Removal remove_runners(const Secret& own, const Patience& patience);
  // Whether the runner is in the CI's list. Earlier ones that could not be removed are tried again.
  bool is_listed(const std::string& runner, const Patience& patience);
  // Before the run is submitted, whose launcher may register the runner. Throw Error.
  void note_run(const CloudRun& run);
  void forget_run();
  // The runner and the run go on by themselves: nothing of them is removed by whoever reads the journal.
  void hand_over();
  // Ends the own shim with its containers, and empties the work folder, unless the runner is still listed. Problems are
  // logged.
  void clean_up();

  Ci& ci() { return *ci_; }
  const WorkFolder* folder() const { return folder_ ? &*folder_ : nullptr; }
  Agent& agent() { return *agent_; }
  const std::string& driver() const { return target_.driver; }

 private:
  bool is_dead(const std::vector<Remains>& remains, const ListedRunner& runner) const;
  bool find_another(const std::vector<ListedRunner>& runners, const std::vector<Remains>& remains,
                    const Patience& patience);
  void remove_dead_of_own_folder(const Patience& patience);
  void remove_dead(const std::vector<Remains>& remains, const Patience& patience);
  void free_name(const std::vector<ListedRunner>& runners, const std::vector<Remains>& remains,
                 const Patience& patience);
  void remove_earlier(const Patience& patience);
  void find_shim();
  void report_missing_shim(const std::string& problem) const;
  void warn_of_open_flags() const;
  // Starts the own shim if one is needed and does not run. Throws Error.
  void ensure_shim(const std::stop_token& stop);
  bool runs_host_jobs() const;
  // For the drivers.
  ContainerFlags container_flags() const;
  void write_journal() const;
  // From prepare() on. Throws Error (internal) before it.
  WorkFolder& locked_folder();

  const Asked asked_;
  const std::function<void(const std::string&)> shim_ended_;
  os::Clock& clock_;
  os::Mutex work_;  // held by what changes the journal once prepare() has returned
  std::filesystem::path workdir_;
  Target target_;
  std::unique_ptr<Ci> ci_;
  std::unique_ptr<Agent> agent_;  // may use ci_
  std::unique_ptr<Succession> succession_;
  std::optional<WorkFolder> folder_;
  Journal journal_;
  bool needs_own_shim_ = false;
  std::unique_ptr<OwnShim> shim_;
};

}  // namespace dstack::shim::ci
