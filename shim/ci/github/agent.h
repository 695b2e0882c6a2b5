#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/os/clock.h"
#include "shim/ci/agent.h"
#include "shim/ci/github/agent_cache.h"
#include "shim/ci/github/agent_folder.h"
#include "shim/ci/github/github.h"

namespace dstack::shim::ci::github {

// The official Actions agent, once for each job.
class ActionsAgent final : public Agent {
 public:
  // Says what to download.
  using Newest = std::function<AgentRelease(const Patience&)>;
  // `given`: the agent's folder or .tar.gz; empty: it is downloaded. `clock` must outlive this.
  ActionsAgent(Newest newest, std::filesystem::path given, AgentCache cache, os::Clock& clock);

  AgentManners manners() const override { return actions_manners(); }
  void find(const Patience& patience) override;
  std::string offer(const Patience& patience) override;
  void prepare(WorkFolder& folder, const ContainerFlags& containers, const Patience& patience) override;
  KeptProgramSpec program(const Registration& runner) override;
  AgentEvent parse(const std::string& line) override;
  std::optional<std::string> warning_in(const std::string& line) override;
  std::function<std::optional<CiJob>()> job_finder(const std::string& job) override;
  std::string take_end(const os::ExitStatus& status) override;
  int finish_signal() const override;
  int stop_signal() const override;

  static AgentManners actions_manners();

 private:
  void download(bool anew, const Patience& patience);
  void download_after_refusal(const Patience& patience);

  const Newest newest_;
  const std::filesystem::path given_;
  AgentCache cache_;
  os::Clock& clock_;
  std::filesystem::path file_;  // to make each agent's folder from
  bool is_newest_ = false;      // just looked up
  bool is_too_old_ = false;     // the last agent said so
  bool was_fetched_anew_ = false;
  bool host_jobs_ = false;
  std::unique_ptr<AgentFolder> folder_;
  std::string runner_;
  os::SteadyTime job_start_;
};

// What a line of the agent means. `job` is the name that the agent gives it.
AgentEvent parse_line(std::string_view line);

// What the agent gets besides `base` (see agent_environment()). Its just-in-time configuration travels here.
std::vector<std::string> agent_variables(const AgentFolder& folder, const Secret& configuration, bool host_jobs,
                                         bool is_root, std::vector<std::string> base);

}  // namespace dstack::shim::ci::github
