#include <CLI/CLI.hpp>

#include "common/text/number.h"
#include "shim/client/environment.h"
#include "shim/client/host_folder.h"
#include "shim/client/published_port.h"
#include "shim/client/run.h"

namespace dstack::shim::client {

namespace {

std::string check_gpus(const std::string& text) {
  if (text == "all" || (text.size() < 5 && text::is_digits(text))) return {};
  return "neither a number nor all: " + text;
}

std::string check_volume(const std::string& text) {
  return parse_host_folder(text) ? std::string()
                                 : "not of the form /HOST/FOLDER:/PATH or /HOST/FOLDER:/PATH:ro: " + text;
}

std::string check_port(const std::string& text) {
  if (parse_published_port(text)) return {};
  return "not of the form HOST:CONTAINER or CONTAINER, ports from 1 to 65535 on 127.0.0.1: " + text;
}

}  // namespace

CLI::App* add_run_command(CLI::App& app, RunOptions& options) {
  CLI::App* run = app.add_subcommand("run", "Run a command in a container through a running shim");
  run->add_option("--image", options.image, "Image to run in")->capture_default_str();
  run->add_option("--name", options.name, "Name of the task (default: a random one)");
  run->add_option("--gpus", options.gpus, "Number of GPUs, or all")
      ->check(CLI::Validator(check_gpus, ""))
      ->capture_default_str();
  run->add_option("--cpus", options.cpus, "Processors, as 1.5")->check(CLI::NonNegativeNumber);
  run->add_option("--memory", options.memory, "Memory limit, as 512MB")->transform(CLI::AsSizeValue(false));
  run->add_option("--shm-size", options.shm_size, "Size of /dev/shm, as 1GB")->transform(CLI::AsSizeValue(false));
  add_environment_option(*run, options.environment);
  run->add_option("--env-file", options.environment_files, "File of variables, one per line; may be repeated")
      ->allow_extra_args(false);
  run->add_option("--volume,-v", options.volumes,
                  "/HOST/FOLDER:/PATH in the container, with :ro read-only; may be repeated")
      ->check(CLI::Validator(check_volume, ""))
      ->allow_extra_args(false);
  run->add_option("--publish,-p", options.ports,
                  "HOST:CONTAINER, a port of the container on 127.0.0.1; without HOST a free one; may be repeated")
      ->check(CLI::Validator(check_port, ""))
      ->allow_extra_args(false);
  run->add_option("--workdir,-w", options.working_dir, "The command's working directory in the container");
  run->add_option("--user,-u", options.user, "User of the command, as name, uid or uid:gid");
  run->add_option("--entrypoint", options.entrypoint, "Program to run instead of the image's entry point");
  run->add_flag("--interactive,-i", options.input, "Pass standard input to the command");
  run->add_flag("--tty,-t", options.terminal, "Give the command a terminal");
  run->add_flag("--detach,-d", options.detach, "Print the task's id and exit as soon as the command runs");
  run->add_flag("--rm", options.remove, "Remove the task and its container afterwards");
  run->add_flag("--json", options.json,
                "Print an object with the task's id, the exit status and the reason; the output goes to stderr");
  run->add_option("command", options.command, "The command and its arguments, after --; default: the image's own");
  return run;
}

}  // namespace dstack::shim::client
