#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/exit_status.h"
#include "shim/client/doctor.h"
#include "shim/client/exec.h"
#include "shim/client/run.h"
#include "shim/client/task_commands.h"
#include "shim/options.h"

using namespace dstack;
using namespace dstack::shim;

namespace {

class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { ::unsetenv(name_); }

 private:
  const char* name_;
};

Invocation parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "dstack-shim");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

// The flags of a command.
template <typename Flags>
Flags flags_of(std::vector<const char*> arguments) {
  return std::get<cli::Command>(parse(std::move(arguments))).flags_as<Flags>();
}

Options daemon(std::vector<const char*> arguments = {}) { return std::get<Options>(parse(std::move(arguments))); }

}  // namespace

TEST_CASE("the defaults are those of the contract") {
  const Variable home("HOME", "/home/somebody");
  const Options options = daemon();
  CHECK(options.home == "/home/somebody/.dstack");
  CHECK(options.binary_path == std::filesystem::read_symlink("/proc/self/exe"));
  CHECK(options.http_port == 10998);
  CHECK(options.log_level == spdlog::level::info);
  CHECK(options.runner_download_url.empty());
  CHECK(options.runner_binary_path == "/usr/local/bin/dstack-runner");
  CHECK(options.runner_http_port == 10999);
  CHECK(options.runner_ssh_port == 10022);
  CHECK(options.runner_ssh_log_level.empty());
  CHECK(options.runner_log_level == "info");
  CHECK(options.dcgm_exporter_http_port == 10997);
  CHECK(options.dcgm_exporter_interval_ms == 5000);
  CHECK(options.dcgm_address.empty());
  CHECK(options.pass_env ==
        std::vector<std::string>{"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"});
  CHECK_FALSE(options.privileged);
  CHECK(options.pjrt_device.empty());
  CHECK_FALSE(options.service);
  CHECK_FALSE(options.allow_task_callers);
  CHECK_FALSE(options.host_credentials);
  CHECK_FALSE(options.registry_mirror);
  CHECK(options.task_disk == 0);
}

TEST_CASE("a flag beats its variable") {
  const Variable variable("DSTACK_SHIM_HTTP_PORT", "1111");
  CHECK(daemon().http_port == 1111);
  CHECK(daemon({"--shim-http-port", "2222"}).http_port == 2222);
}

TEST_CASE("of a flag given twice the last one counts, and an empty path is the default") {
  const Variable home("HOME", "/home/somebody");
  CHECK(daemon({"--shim-http-port", "1", "--shim-http-port", "2"}).http_port == 2);
  CHECK(daemon({"--shim-home", ""}).home == "/home/somebody/.dstack");
  CHECK(daemon({"--runner-binary-path", ""}).runner_binary_path == "/usr/local/bin/dstack-runner");
}

TEST_CASE("an empty variable counts as unset, every one of them") {
  std::vector<std::unique_ptr<Variable>> empty;
  for (const char* name :
       {"DSTACK_SHIM_HOME", "DSTACK_SHIM_BINARY_PATH", "DSTACK_SHIM_HTTP_PORT", "DSTACK_SHIM_LOG_LEVEL",
        "DSTACK_RUNNER_DOWNLOAD_URL", "DSTACK_RUNNER_BINARY_PATH", "DSTACK_RUNNER_HTTP_PORT", "DSTACK_RUNNER_SSH_PORT",
        "DSTACK_RUNNER_SSH_LOG_LEVEL", "DSTACK_RUNNER_LOG_LEVEL", "DSTACK_DCGM_EXPORTER_HTTP_PORT",
        "DSTACK_DCGM_EXPORTER_INTERVAL", "DSTACK_DCGM_ADDRESS", "DSTACK_DOCKER_PASS_ENV", "DSTACK_DOCKER_PRIVILEGED",
        "PJRT_DEVICE", "DSTACK_SERVICE_MODE", "DSTACK_SHIM_ALLOW_TASK_CALLERS"}) {
    empty.push_back(std::make_unique<Variable>(name, ""));
  }
  const Variable home("HOME", "/home/somebody");
  const Options options = daemon();
  CHECK(options.home == "/home/somebody/.dstack");
  CHECK(options.binary_path == std::filesystem::read_symlink("/proc/self/exe"));
  CHECK(options.runner_binary_path == "/usr/local/bin/dstack-runner");
  CHECK(options.runner_http_port == 10999);
  CHECK(options.runner_ssh_port == 10022);
  CHECK(options.runner_log_level == "info");
  CHECK(options.dcgm_exporter_http_port == 10997);
  CHECK(options.dcgm_exporter_interval_ms == 5000);
  CHECK_FALSE(options.privileged);
  CHECK(options.pass_env.size() == 6);
}

TEST_CASE("every flag has its variable") {
  const std::vector<std::pair<const char*, const char*>> values{{"DSTACK_SHIM_HOME", "/h"},
                                                                {"DSTACK_SHIM_BINARY_PATH", "/b"},
                                                                {"DSTACK_SHIM_HTTP_PORT", "1"},
                                                                {"DSTACK_SHIM_LOG_LEVEL", "Debug"},
                                                                {"DSTACK_RUNNER_DOWNLOAD_URL", "http://u"},
                                                                {"DSTACK_RUNNER_BINARY_PATH", "/r"},
                                                                {"DSTACK_RUNNER_HTTP_PORT", "2"},
                                                                {"DSTACK_RUNNER_SSH_PORT", "3"},
                                                                {"DSTACK_RUNNER_SSH_LOG_LEVEL", "VERBOSE"},
                                                                {"DSTACK_RUNNER_LOG_LEVEL", "6"},
                                                                {"DSTACK_DCGM_EXPORTER_HTTP_PORT", "4"},
                                                                {"DSTACK_DCGM_EXPORTER_INTERVAL", "5"},
                                                                {"DSTACK_DCGM_ADDRESS", "host:5555"},
                                                                {"DSTACK_DOCKER_PASS_ENV", "A,B"},
                                                                {"DSTACK_DOCKER_PRIVILEGED", "1"},
                                                                {"PJRT_DEVICE", "TPU"},
                                                                {"DSTACK_SERVICE_MODE", "true"},
                                                                {"DSTACK_SHIM_ALLOW_TASK_CALLERS", "1"},
                                                                {"DSTACK_SHIM_HOST_CREDENTIALS", "on"},
                                                                {"DSTACK_SHIM_REGISTRY_MIRROR", "m.example:5000"},
                                                                {"DSTACK_SHIM_TASK_DISK", "20G"}};
  std::vector<std::unique_ptr<Variable>> set;
  for (const auto& [name, value] : values) set.push_back(std::make_unique<Variable>(name, value));
  const Options options = daemon();
  CHECK(options.home == "/h");
  CHECK(options.binary_path == "/b");
  CHECK(options.http_port == 1);
  CHECK(options.log_level == spdlog::level::debug);
  CHECK(options.runner_download_url == "http://u");
  CHECK(options.runner_binary_path == "/r");
  CHECK(options.runner_http_port == 2);
  CHECK(options.runner_ssh_port == 3);
  CHECK(options.runner_ssh_log_level == "VERBOSE");
  CHECK(options.runner_log_level == "6");
  CHECK(options.dcgm_exporter_http_port == 4);
  CHECK(options.dcgm_exporter_interval_ms == 5);
  CHECK(options.dcgm_address == "host:5555");
  CHECK(options.pass_env == std::vector<std::string>{"A", "B"});
  CHECK(options.privileged);
  CHECK(options.pjrt_device == "TPU");
  CHECK(options.service);
  CHECK(options.allow_task_callers);
  CHECK(options.host_credentials);
  CHECK(options.registry_mirror->name == "m.example:5000");
  CHECK(options.task_disk == std::int64_t{20} << 30);
}

TEST_CASE("an empty variable counts as unset") {
  const Variable port("DSTACK_SHIM_HTTP_PORT", "");
  const Variable names("DSTACK_DOCKER_PASS_ENV", "");
  const Variable service("DSTACK_SERVICE_MODE", "");
  const Variable level("DSTACK_SHIM_LOG_LEVEL", "");
  const Options options = daemon();
  CHECK(options.http_port == 10998);
  CHECK(options.pass_env.size() == 6);
  CHECK_FALSE(options.service);
  CHECK(options.log_level == spdlog::level::info);
}

TEST_CASE("service mode takes 1 and true from its variable") {
  for (const char* value : {"1", "true"}) {
    const Variable service("DSTACK_SERVICE_MODE", value);
    CHECK(daemon().service);
  }
  const Variable service("DSTACK_SERVICE_MODE", "false");
  CHECK_FALSE(daemon().service);
}

TEST_CASE("an unknown log level or a port out of range ends with an exit code") {
  CHECK(std::get<int>(parse({"--shim-log-level", "loud"})) != 0);
  CHECK(std::get<int>(parse({"--runner-log-level", "7"})) != 0);
  CHECK(std::get<int>(parse({"--shim-http-port", "65536"})) != 0);
  CHECK(std::get<int>(parse({"--no-such-flag"})) != 0);
  CHECK(daemon({"--shim-log-level", "WARNING"}).log_level == spdlog::level::warn);
  CHECK(daemon({"--shim-log-level", "6"}).log_level == spdlog::level::trace);
}

TEST_CASE("a variable with a bad value ends as its flag does, unless the flag is given") {
  for (const auto& [name, value] :
       std::vector<std::pair<const char*, const char*>>{{"DSTACK_SHIM_LOG_LEVEL", "loud"},
                                                        {"DSTACK_RUNNER_LOG_LEVEL", "0"},
                                                        {"DSTACK_SHIM_HTTP_PORT", "abc"},
                                                        {"DSTACK_SHIM_HTTP_PORT", "65536"},
                                                        {"DSTACK_RUNNER_SSH_PORT", "-1"},
                                                        {"DSTACK_DCGM_EXPORTER_INTERVAL", "0"},
                                                        {"DSTACK_SERVICE_MODE", "perhaps"}}) {
    INFO(name);
    const Variable variable(name, value);
    CHECK(std::get<int>(parse({})) != 0);
    CHECK(std::get<int>(parse({"serve"})) != 0);
    // It is the daemon's: a person's command has no use for it.
    CHECK(std::holds_alternative<cli::Command>(parse({"ps"})));
  }
  const Variable level("DSTACK_SHIM_LOG_LEVEL", "loud");
  CHECK(daemon({"--shim-log-level", "debug"}).log_level == spdlog::level::debug);
}

TEST_CASE("names of variables to pass on are taken from a list with blanks and gaps") {
  CHECK(daemon({"--pass-env", " A, ,B,,C_D "}).pass_env == std::vector<std::string>{"A", "B", "C_D"});
}

TEST_CASE("paths become absolute, and a leading tilde is the home") {
  const Variable home("HOME", "/home/somebody");
  CHECK(daemon({"--shim-home", "~/x/../y"}).home == "/home/somebody/y");
  CHECK(daemon({"--shim-home", "relative"}).home == std::filesystem::current_path() / "relative");
}

TEST_CASE("serve is the daemon, with flags before and after it") {
  const Options options = daemon({"--privileged", "serve", "--shim-http-port", "3"});
  CHECK(options.privileged);
  CHECK(options.http_port == 3);
}

TEST_CASE("run takes everything after the dashes as the command") {
  const auto run = flags_of<client::RunOptions>({"run", "--image", "app:1", "--env", "A=b c", "--env", "D=", "--volume",
                                                 "/h:/c", "--memory", "1KiB", "--shim-http-port", "5", "--rm", "--",
                                                 "sh", "-c", "exit 3", "--rm"});
  CHECK(run.image == "app:1");
  CHECK(run.environment == std::vector<std::string>{"A=b c", "D="});
  CHECK(run.volumes == std::vector<std::string>{"/h:/c"});
  CHECK(run.memory == 1024);
  CHECK(run.shim_port == 5);
  CHECK(run.remove);
  CHECK(run.command == std::vector<std::string>{"sh", "-c", "exit 3", "--rm"});
  CHECK(std::get<int>(parse({"run", "--env", "=novalue", "--", "true"})) != 0);
  CHECK(std::get<int>(parse({"run", "--gpus", "some", "--", "true"})) != 0);
  CHECK(flags_of<client::RunOptions>({"run"}).is_plain());
  CHECK_FALSE(run.is_plain());
}

TEST_CASE("run has docker's short options, and no more of docker's options than its own") {
  const auto run = flags_of<client::RunOptions>({"run", "-itd", "-v", "/a:/b:ro", "-p", "8080:80", "-w", "/w", "-u",
                                                 "1:1", "-e", "K", "--env-file", "/f", "--entrypoint", "sh", "--json"});
  CHECK((run.input && run.terminal && run.detach && run.json && run.is_plain()));
  CHECK(run.volumes == std::vector<std::string>{"/a:/b:ro"});
  CHECK(run.ports == std::vector<std::string>{"8080:80"});
  CHECK((run.working_dir == "/w" && run.user == "1:1" && run.entrypoint == "sh"));
  CHECK(run.environment_files == std::vector<std::string>{"/f"});
  for (const char* option : {"--network=host", "--mount", "-m", "-P", "--privileged", "--gpu"}) {
    CHECK(std::get<int>(parse({"run", option, "--", "true"})) == exit_status::kNotRun);
  }
  for (const auto& [option, value] : std::vector<std::pair<const char*, const char*>>{
           {"-v", "name:/path"}, {"-v", "/a:/b:shared"}, {"-p", "0.0.0.0:80:80"}, {"-p", "99999:1"}, {"-p", "a"}}) {
    CHECK(std::get<int>(parse({"run", option, value, "--", "true"})) == exit_status::kNotRun);
  }
}

TEST_CASE("the options of a command that runs another end where that one begins") {
  const auto run = flags_of<client::RunOptions>(
      {"--shim-http-port", "5", "run", "--image", "app", "-e", "A=1", "sh", "-c", "exit 3", "--rm"});
  CHECK(run.command == std::vector<std::string>{"sh", "-c", "exit 3", "--rm"});
  CHECK(run.environment == std::vector<std::string>{"A=1"});
  CHECK_FALSE(run.remove);
  const auto exec = flags_of<client::ExecOptions>({"exec", "-it", "-w", "/tmp", "id", "ls", "-l", "--", "-i"});
  CHECK(exec.task == "id");
  CHECK((exec.input && exec.terminal));
  CHECK(exec.working_dir == "/tmp");
  CHECK(exec.command == std::vector<std::string>{"ls", "-l", "--", "-i"});
  const auto dashes = flags_of<client::ExecOptions>({"exec", "id", "-i", "-eA=1", "--", "-t", "--", "x"});
  CHECK(dashes.input);
  CHECK_FALSE(dashes.terminal);
  CHECK(dashes.environment == std::vector<std::string>{"A=1"});
  CHECK(dashes.command == std::vector<std::string>{"-t", "--", "x"});
  CHECK(std::get<int>(parse({"exec", "id"})) == exit_status::kNotRun);
}

TEST_CASE("commands for tasks take ids, and their flags before or after them") {
  CHECK(flags_of<client::ListOptions>({"ps", "--json", "--shim-http-port", "5"}).json);
  CHECK(flags_of<client::ListOptions>({"--shim-http-port", "5", "ps"}).shim_port == 5);
  CHECK(flags_of<client::LogsOptions>({"logs", "a", "-f"}).follow);
  CHECK(flags_of<client::LogsOptions>({"logs", "--follow", "a"}).task == "a");
  CHECK(flags_of<client::StopOptions>({"stop", "a", "b", "--timeout", "3"}).tasks ==
        std::vector<std::string>{"a", "b"});
  CHECK(flags_of<client::StopOptions>({"stop", "-t", "3", "a"}).timeout == 3);
  CHECK(flags_of<client::StopOptions>({"stop", "a"}).timeout == 15);  // longer than all stages of a stop take
  CHECK(flags_of<client::RemoveOptions>({"rm", "--force", "a", "b"}).force);
  CHECK_FALSE(flags_of<client::RemoveOptions>({"rm", "a"}).force);
}

TEST_CASE("a command for tasks that lacks an id or has a bad flag ends with an exit code") {
  CHECK(std::get<int>(parse({"logs"})) != 0);
  CHECK(std::get<int>(parse({"logs", "a", "b"})) != 0);
  CHECK(std::get<int>(parse({"stop"})) != 0);
  CHECK(std::get<int>(parse({"stop", "--timeout", "-1", "a"})) != 0);
  CHECK(std::get<int>(parse({"rm"})) != 0);
  CHECK(std::get<int>(parse({"ps", "a"})) != 0);
}

TEST_CASE("each kind of command has its own exit status for a bad command line") {
  CHECK(std::get<int>(parse({"run", "--no-such-flag"})) == exit_status::kNotRun);
  CHECK(std::get<int>(parse({"ps", "--no-such-flag"})) == exit_status::kNotRun);
  CHECK(std::get<int>(parse({"runners", "--no-such-flag"})) == exit_status::kUsage);
  CHECK(std::get<int>(parse({"relay", "nonsense"})) == exit_status::kUsage);
  CHECK(std::get<int>(parse({"run", "--help"})) == exit_status::kDone);
}

TEST_CASE("doctor looks at the host with the daemon's settings") {
  const auto doctor = flags_of<client::DoctorOptions>({"doctor", "--json", "--shim-home", "/h", "--shim-http-port", "5",
                                                       "--runner-http-port", "6", "--runner-ssh-port", "7",
                                                       "--runner-binary-path", "/r"});
  CHECK(doctor.home == "/h");
  CHECK(doctor.runner_binary == "/r");
  CHECK(doctor.shim_port == 5);
  CHECK(doctor.runner_http_port == 6);
  CHECK(doctor.runner_ssh_port == 7);
  CHECK(doctor.json);
  CHECK_FALSE(flags_of<client::DoctorOptions>({"doctor"}).json);
}
