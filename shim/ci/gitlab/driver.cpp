#include "shim/ci/gitlab/driver.h"

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "common/json/dump.h"
#include "common/os/host_name.h"
#include "common/os/remove_tree.h"
#include "common/os/signals.h"
#include "common/text/escape.h"
#include "common/text/number.h"
#include "common/version.h"
#include "shim/ci/gitlab/stages.h"
#include "shim/ci/job_note.h"
#include "shim/ci/owner_file.h"

namespace dstack::shim::ci::gitlab {

namespace {

constexpr int kBuildFailure = 1;
constexpr int kSystemFailure = 2;

std::optional<std::string> own_environment_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

int status_in(const char* variable, int otherwise) {
  const auto status = text::parse_number<int>(own_environment_variable(variable).value_or(""));
  return status && *status > 0 && *status < 256 ? *status : otherwise;
}

void print_config() {
  const nlohmann::json config = {{"driver", {{"name", "dstack-shim"}, {"version", version()}}},
                                 {"builds_dir", kBuilds},
                                 {"cache_dir", kCache},
                                 {"builds_dir_is_shared", false},
                                 {"hostname", os::host_name()},
                                 {"shell", "bash"},
                                 {"job_env", nlohmann::json::object()}};
  std::cout << dstack::json::dump(config) << '\n' << std::flush;
}

// gitlab-runner 18 and later read the script's own status from a file.
int report_script(int status) {
  if (status == 0) return 0;
  if (const auto file = own_environment_variable("BUILD_EXIT_CODE_FILE"); file && !file->empty()) {
    std::ofstream out(*file, std::ios::trunc);
    out << status;
  }
  return status_in("BUILD_FAILURE_EXIT_CODE", kBuildFailure);
}

void clean_up(Job& job) {
  // A stop of the agent must not leave containers behind.
  const os::UniqueFd signals = os::block_and_watch({SIGTERM, SIGINT, SIGQUIT});
  job.containers.remove_all();
  // A launcher reads the note after the job, and removes it with the rest of its folder.
  if (owner_file(job.options.state).empty()) os::remove_file(job_note_file(job.options.state, job.response.id));
}

// A job that is cleaned up needs no more than its number, should its file be gone.
JobResponse find_job(const DriverOptions& options, const Environment& environment) {
  try {
    return read_job_response(environment);
  } catch (const std::exception&) {
    JobResponse job{.id = environment("CUSTOM_ENV_CI_JOB_ID").value_or(""),
                    .server = environment("CUSTOM_ENV_CI_SERVER_URL").value_or("")};
    if (options.stage != DriverOptions::Stage::cleanup || !text::is_digits(job.id)) throw;
    return job;
  }
}

int execute(const DriverOptions& options) {
  if (options.stage == DriverOptions::Stage::config) {
    print_config();
    return 0;
  }
  const Environment environment = own_environment_variable;
  Job job(options, environment, find_job(options, environment));
  switch (options.stage) {
    case DriverOptions::Stage::prepare:
      write_job_note(options.state,
                     {.id = job.response.id, .project = job.response.project, .pipeline = job.response.pipeline});
      prepare(job);
      return 0;
    case DriverOptions::Stage::run: return report_script(run_script(job));
    default: clean_up(job); return 0;
  }
}

}  // namespace

Job::Job(const DriverOptions& driver_options, const Environment& variables, JobResponse job)
    : options(driver_options),
      environment(variables),
      response(std::move(job)),
      names(response.server, response.id),
      shim(options.containers.port()),
      containers(shim, names, owner_file(driver_options.state)) {}

CLI::App* add_driver_command(CLI::App& ci, DriverOptions& options) {
  CLI::App* gitlab = ci.add_subcommand("gitlab", "Called by gitlab-runner's custom executor: runs a job in containers");
  gitlab->add_option("--state", options.state, "Folder that the stages of a job share")->required();
  add_container_flags(*gitlab, options.containers);
  gitlab->require_subcommand(1);
  gitlab->fallthrough();
  const auto add = [&](const char* name, const char* description, DriverOptions::Stage stage) {
    CLI::App* added = gitlab->add_subcommand(name, description);
    added->fallthrough();
    added->callback([&options, gitlab, stage] {
      options.stage = stage;
      read_variables(*gitlab);
    });
    return added;
  };
  add("config", "Print the executor's settings", DriverOptions::Stage::config);
  add("prepare", "Start the job's containers", DriverOptions::Stage::prepare);
  CLI::App* run = add("run", "Run a script of the job", DriverOptions::Stage::run);
  run->add_option("script", options.script, "Path of the script")->required();
  run->add_option("stage", options.script_stage, "Stage of the script")->required();
  add("cleanup", "Remove the job's containers", DriverOptions::Stage::cleanup);
  return gitlab;
}

int drive(const DriverOptions& options) {
  const auto fail = [](const std::exception& error, int status) {
    std::cerr << "dstack-shim: " << text::escape_controls(error.what()) << '\n';
    return status;
  };
  try {
    return execute(options);
  } catch (const NoImage& error) {
    return fail(error, status_in("BUILD_FAILURE_EXIT_CODE", kBuildFailure));
  } catch (const BuildFailure& error) {
    return fail(error, status_in("BUILD_FAILURE_EXIT_CODE", kBuildFailure));
  } catch (const std::exception& error) {
    return fail(error, status_in("SYSTEM_FAILURE_EXIT_CODE", kSystemFailure));
  }
}

}  // namespace dstack::shim::ci::gitlab
