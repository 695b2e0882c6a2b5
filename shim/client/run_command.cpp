#include <CLI/CLI.hpp>

#include "common/text/number.h"
#include "shim/client/environment.h"
#include "shim/client/run.h"

namespace dstack::shim::client {

namespace {

std::string check_gpus(const std::string& text) {
  if (text == "all" || (text.size() < 5 && text::is_digits(text))) return {};
  return "neither a number nor all: " + text;
}

std::string check_volume(const std::string& text) {
  const std::size_t colon = text.find(':');
  const bool good = text.starts_with('/') && colon != std::string::npos && text.substr(colon + 1).starts_with('/');
  return good ? std::string() : "not of the form /HOST/FOLDER:/PATH: " + text;
}

}  // namespace

CLI::App* add_run_command(CLI::App& app, RunOptions& options) {
  CLI::App* run = app.add_subcommand("run", "Run a command in a container through a running shim");
  run->add_option("--image", options.image, "Image to run in")->capture_default_str();
  run->add_option("--name", options.name, "Name of the task (default: one is made up)");
  run->add_option("--gpus", options.gpus, "How many GPUs, or all")
      ->check(CLI::Validator(check_gpus, ""))
      ->capture_default_str();
  run->add_option("--cpus", options.cpus, "Processors, as 1.5")->check(CLI::NonNegativeNumber);
  run->add_option("--memory", options.memory, "Memory limit, as 512MB")->transform(CLI::AsSizeValue(false));
  run->add_option("--shm-size", options.shm_size, "Size of /dev/shm, as 1GB")->transform(CLI::AsSizeValue(false));
  add_environment_option(*run, options.environment);
  run->add_option("--volume", options.volumes, "/HOST/FOLDER:/PATH in the container; may be repeated")
      ->check(CLI::Validator(check_volume, ""))
      ->allow_extra_args(false);
  run->add_option("--workdir", options.working_dir, "The command's working folder");
  run->add_option("--user", options.user, "User of the command, as name, uid or uid:gid");
  run->add_flag("--detach", options.detach, "Print the task's id and leave as soon as the command runs");
  run->add_flag("--rm", options.remove, "Remove the task and its container afterwards");
  run->add_option("command", options.command, "The command and its arguments, after --")->required();
  return run;
}

}  // namespace dstack::shim::client
