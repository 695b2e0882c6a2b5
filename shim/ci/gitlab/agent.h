#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/secret.h"
#include "shim/ci/agent.h"

namespace dstack::shim::ci::gitlab {

struct AgentSettings {
  std::filesystem::path program;  // gitlab-runner
  std::string runner_name;
  bool single = false;
  // What gitlab-runner calls for each stage of a job, in front of the stage's own arguments.
  std::filesystem::path driver;
  std::vector<std::string> driver_arguments;
  std::string server_url;
  Secret token;                       // the runner's own
  std::filesystem::path config_file;  // may be missing
};

std::vector<std::string> agent_command(const AgentSettings& settings);
// `base`: see agent_environment(). The token travels here, where other users do not see it.
std::vector<std::string> agent_variables(const AgentSettings& settings, std::vector<std::string> base);

// What a line of gitlab-runner's log means.
AgentEvent parse_line(std::string_view line);

// A line that an operator should see: its message, if it is a warning or worse and nothing that has an event.
std::optional<std::string> warning_in(std::string_view line);

// gitlab-runner, which takes job after job of one runner.
class GitLabRunner final : public Agent {
 public:
  // `given`: its file; empty: that of PATH.
  GitLabRunner(std::filesystem::path given, std::string server_url, bool single)
      : given_(std::move(given)), server_url_(std::move(server_url)), single_(single) {}

  AgentManners manners() const override { return {}; }
  void find(const Patience& patience) override;
  void prepare(WorkFolder& folder, const ContainerFlags& containers, const Patience& patience) override;
  KeptProgramSpec program(const Registration& runner) override;
  AgentEvent parse(const std::string& line) override { return parse_line(line); }
  std::optional<std::string> warning_in(const std::string& line) override;
  std::function<std::optional<CiJob>()> job_finder(const std::string& job) override;
  std::string take_end(const os::ExitStatus& status) override { return status.describe(); }
  int finish_signal() const override;
  int stop_signal() const override;

 private:
  const std::filesystem::path given_;
  const std::string server_url_;
  const bool single_;
  std::filesystem::path file_;
  std::filesystem::path state_;
  std::filesystem::path config_file_;
  ContainerFlags containers_;
};

// The file of gitlab-runner: the given one, or that of PATH. Throws Error.
std::filesystem::path find_agent(const std::filesystem::path& given);

}  // namespace dstack::shim::ci::gitlab
