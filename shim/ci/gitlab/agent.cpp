#include "shim/ci/gitlab/agent.h"

#include <unistd.h>

#include <array>
#include <csignal>
#include <format>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/error.h"
#include "common/json/member.h"
#include "common/os/child.h"
#include "shim/ci/agent_environment.h"
#include "shim/ci/job_note.h"
#include "shim/ci/own_program.h"
#include "shim/ci/work_folder.h"

extern char** environ;  // NOLINT(readability-redundant-declaration): musl declares it only for GNU

namespace dstack::shim::ci::gitlab {

using nlohmann::json;

namespace {

constexpr std::array kStages = {"config", "prepare", "run", "cleanup"};

json parse(std::string_view line) {
  const json parsed = json::parse(line, nullptr, false);
  return parsed.is_object() ? parsed : json::object();
}

// A job's id is a number in some lines and a string in others.
std::string id_in(const json& line) {
  const json& id = dstack::json::member(line, "job");
  if (id.is_number_integer()) return std::to_string(id.get<std::int64_t>());
  return id.is_string() ? id.get<std::string>() : std::string();
}

}  // namespace

std::vector<std::string> agent_command(const AgentSettings& settings) {
  std::vector<std::string> command{settings.program,     "--log-format", "json",    "run-single",  "--name",
                                   settings.runner_name, "--builds-dir", "/builds", "--cache-dir", "/cache"};
  for (const char* stage : kStages) {
    command.insert(command.end(), {std::format("--custom-{}-exec", stage), settings.driver.string()});
    std::vector<std::string> arguments = settings.driver_arguments;
    arguments.emplace_back(stage);
    for (std::string& argument : arguments)
      command.insert(command.end(), {std::format("--custom-{}-args", stage), std::move(argument)});
  }
  if (settings.single) command.insert(command.end(), {"--max-builds", "1"});
  // Otherwise its scripts are quoted for bash.
  command.insert(command.end(), {"--env", "FF_POSIXLY_CORRECT_ESCAPES=true"});
  return command;
}

std::vector<std::string> agent_variables(const AgentSettings& settings, std::vector<std::string> base) {
  base.push_back("CI_SERVER_URL=" + settings.server_url);
  base.push_back("CI_SERVER_TOKEN=" + settings.token.reveal());
  base.emplace_back("RUNNER_EXECUTOR=custom");
  base.push_back("CONFIG_FILE=" + settings.config_file.string());
  return base;
}

AgentEvent parse_line(std::string_view text) {
  using Kind = AgentEvent::Kind;
  const json line = parse(text);
  const std::string message = dstack::json::text_member(line, "msg");
  AgentEvent event;
  if (message.starts_with("Checking for jobs... received")) {
    event.kind = Kind::job_started;
    event.job = id_in(line);
  } else if (message.starts_with("Checking for jobs... failed")) {
    event.kind = Kind::unreachable;
  } else if (message.contains("forbidden")) {
    event.kind = Kind::refused;
  } else if (message.starts_with("Job succeeded") || message.starts_with("Job failed")) {
    const bool succeeded = message.starts_with("Job succeeded");
    const json& seconds = dstack::json::member(line, "duration_s");
    event = {.kind = Kind::job_ended,
             .job = id_in(line),
             .result = succeeded ? "success" : "failed",
             .seconds = seconds.is_number() ? seconds.get<double>() : 0,
             // "Job failed: exit status 1" is the script's own end.
             .lost = !succeeded && !message.starts_with("Job failed: exit")};
  }
  return event;
}

std::optional<std::string> warning_in(std::string_view text) {
  const json line = parse(text);
  if (line.empty()) return std::string(text);  // a panic, or a message of the program loader
  const std::string level = dstack::json::text_member(line, "level");
  if (level != "warning" && level != "error" && level != "fatal" && level != "panic") return std::nullopt;
  const AgentEvent::Kind kind = parse_line(text).kind;
  if (kind == AgentEvent::Kind::job_started || kind == AgentEvent::Kind::job_ended) return std::nullopt;
  std::string message = dstack::json::text_member(line, "msg");
  const std::string error = dstack::json::text_member(line, "error");
  if (!error.empty()) message += ": " + error;
  return message;
}

void GitLabRunner::find(const Patience& /*patience*/) { file_ = find_agent(given_); }

void GitLabRunner::prepare(WorkFolder& folder, const ContainerFlags& containers, const Patience& /*patience*/) {
  folder.hold_tasks();
  state_ = folder.state();
  config_file_ = folder.agent_config();
  containers_ = containers;
  // Mounted in the jobs' containers, for artifacts and caches.
  containers_.agent = file_;
}

KeptProgramSpec GitLabRunner::program(const Registration& runner) {
  std::vector<std::string> driver_arguments{"ci", "gitlab", "--state", state_};
  for (std::string& argument : to_arguments(containers_)) driver_arguments.push_back(std::move(argument));
  const AgentSettings settings{.program = file_,
                               .runner_name = runner.name,
                               .single = single_,
                               .driver = own_program(),
                               .driver_arguments = std::move(driver_arguments),
                               .server_url = server_url_,
                               .token = runner.token,
                               .config_file = config_file_};
  return {.arguments = agent_command(settings), .environment = agent_variables(settings, agent_environment(environ))};
}

std::optional<std::string> GitLabRunner::warning_in(const std::string& line) { return gitlab::warning_in(line); }

std::function<std::optional<CiJob>()> GitLabRunner::job_finder(const std::string& job) {
  return [state = state_, job = job] { return read_job_note(state, job); };
}

int GitLabRunner::finish_signal() const { return SIGQUIT; }
int GitLabRunner::stop_signal() const { return SIGTERM; }

std::filesystem::path find_agent(const std::filesystem::path& given) {
  if (given.empty()) {
    const auto found = os::find_program("gitlab-runner");
    if (!found)
      throw Error(ErrorKind::not_found, "gitlab-runner is not in PATH: install it, or give its file with --agent");
    return std::filesystem::absolute(*found);
  }
  std::error_code failure;
  const std::filesystem::path path = std::filesystem::absolute(given).lexically_normal();
  if (!std::filesystem::is_regular_file(path, failure))
    throw Error(ErrorKind::not_found, std::format("--agent: {} is not a file", path.string()));
  if (::access(path.c_str(), X_OK) != 0) throw os_error("--agent: execute", path.string());
  return path;
}

}  // namespace dstack::shim::ci::gitlab
