#pragma once

#include <filesystem>
#include <string>

namespace CLI {
class App;
}

namespace dstack::shim::client {

// dstack-shim doctor: looks at the host that a shim runs on, or is to run on. The settings are the daemon's.
struct DoctorOptions {
  std::filesystem::path home;
  std::filesystem::path runner_binary;
  int shim_port = 10998;
  int runner_http_port = 10999;
  int runner_ssh_port = 10022;
  bool allow_task_callers = false;
  bool json = false;
  std::string bundle;  // a file to write for a bug report; empty: none
};

// Adds the subcommand's flags; `options` must outlive the parsing.
CLI::App* add_doctor_command(CLI::App& app, DoctorOptions& options);

// Prints the report on stdout; 1 if something is broken, else 0. It takes 75 s at most.
int doctor(const DoctorOptions& options);

}  // namespace dstack::shim::client
