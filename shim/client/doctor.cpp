#include "shim/client/doctor.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>

#include "common/error.h"
#include "common/log/log.h"
#include "shim/client/bundle.h"
#include "shim/client/output.h"
#include "shim/doctor/report.h"
#include "shim/doctor/running_shim.h"

namespace dstack::shim::client {

namespace {

shim::doctor::Host host_of(const DoctorOptions& options) {
  shim::doctor::Host host{.home = options.home,
                          .runner_binary = options.runner_binary,
                          .shim_port = options.shim_port,
                          .runner_http_port = options.runner_http_port,
                          .runner_ssh_port = options.runner_ssh_port,
                          .allow_task_callers = options.allow_task_callers};
  try {
    host.engine = std::make_shared<docker::EngineClient>(docker::engine_address());
  } catch (const std::exception& error) {
    host.engine_trouble = error.what();
  }
  shim::doctor::take_settings_of_running_shim(host);
  return host;
}

bool wants_colours() {
  const char* const refusal = std::getenv("NO_COLOR");
  return ::isatty(STDOUT_FILENO) == 1 && (refusal == nullptr || *refusal == '\0');
}

}  // namespace

CLI::App* add_doctor_command(CLI::App& app, DoctorOptions& options) {
  CLI::App* doctor = app.add_subcommand("doctor", "Check this host and explain how to fix problems");
  doctor->add_flag("--json", options.json, "Print the findings as JSON");
  doctor->add_option(
      "--bundle", options.bundle,
      "Also write what a bug report needs into this file (tar): versions, checks, logs, states, no secrets");
  return doctor;
}

int doctor(const DoctorOptions& options) {
  log::set_up(spdlog::level::err, log::Stream::standard_error, std::nullopt);
  if (::geteuid() != 0) std::cerr << "note: some checks need root to see everything\n";
  const shim::doctor::Host host = host_of(options);
  const auto examination = shim::doctor::examine(shim::doctor::all_checks(), host);
  if (!options.bundle.empty()) {
    write_bundle(options.bundle, host, examination);
    std::cerr << options.bundle << " is for a bug report: review it before you send it\n";
  }
  write_answer(options.json ? as_json(examination) : as_text(examination, wants_colours()));
  const int code = examination.is_broken() ? 1 : 0;
  // A thread that hangs would use what an orderly end takes away.
  if (examination.unfinished) std::_Exit(code);
  return code;
}

}  // namespace dstack::shim::client
