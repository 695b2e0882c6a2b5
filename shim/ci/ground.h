#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/os/clock.h"
#include "common/secret.h"
#include "shim/ci/ci.h"
#include "shim/ci/infer.h"
#include "shim/ci/journal.h"
#include "shim/ci/launcher_flags.h"
#include "shim/ci/own_shim.h"
#include "shim/ci/remains.h"
#include "shim/ci/repository.h"
#include "shim/ci/work_folder.h"

namespace dstack::shim::ci {

// What a launcher stands on: the CI, the work folder, the agent's file, the shim. One thread at a time uses it.
class Ground {
 public:
  struct Asked {
    LauncherFlags flags;
    Repository repository;
    std::optional<std::string> driver;
    Secret token;
    std::string name;
  };
  // `shim_ended` is called on another thread.
  Ground(Asked asked, std::function<void(const std::string& how)> shim_ended, os::Clock& clock);

  // The checks, in the contract's order; nothing is made at the CI. False if --reuse found a runner. Throws Error.
  bool prepare(const Patience& patience);
  // Starts the own shim if one is needed and does not run. Throws Error.
  void ensure_shim(const std::stop_token& stop);
  // Makes the runner; the journal says so first. Throws Error; CiFailure: nothing was made.
  Registration register_runner(const Patience& patience);
  Removal remove_runner(const Secret& own, const Patience& patience);
  // Ends the own shim with its containers, and empties the work folder, unless the runner is still listed. Problems are
  // logged.
  void clean_up();

  Ci& ci() { return *ci_; }
  const WorkFolder* folder() const { return folder_ ? &*folder_ : nullptr; }
  const std::filesystem::path& agent() const { return agent_; }
  const std::string& server_url() const { return target_.base_url; }
  // For the drivers.
  ContainerFlags container_flags() const;

 private:
  bool is_dead(const std::vector<Remains>& remains, const ListedRunner& runner) const;
  bool find_another(const std::vector<ListedRunner>& runners, const std::vector<Remains>& remains,
                    const Patience& patience);
  void remove_dead(const std::vector<Remains>& remains, const Patience& patience);
  void free_name(const std::vector<ListedRunner>& runners, const std::vector<Remains>& remains,
                 const Patience& patience);
  void find_shim();
  void warn_of_open_flags() const;

  const Asked asked_;
  const std::function<void(const std::string&)> shim_ended_;
  os::Clock& clock_;
  std::filesystem::path workdir_;
  Target target_;
  std::unique_ptr<Ci> ci_;
  std::optional<WorkFolder> folder_;
  Journal journal_;
  std::filesystem::path agent_;
  bool needs_own_shim_ = false;
  std::unique_ptr<OwnShim> shim_;
};

}  // namespace dstack::shim::ci
