#include "shim/settings.h"

#include <cstdlib>

namespace dstack::shim {

task::LaunchSettings launch_settings(const Options& options) {
  task::LaunchSettings settings{.runner_binary = options.runner_binary_path,
                                .runner_log_level = options.runner_log_level,
                                .runner_ssh_log_level = options.runner_ssh_log_level,
                                .runner_http_port = options.runner_http_port,
                                .runner_ssh_port = options.runner_ssh_port,
                                .privileged = options.privileged};
  for (const std::string& name : options.pass_env) {
    if (const char* value = std::getenv(name.c_str())) settings.environment.push_back(name + "=" + value);
  }
  if (!options.pjrt_device.empty()) settings.environment.push_back("PJRT_DEVICE=" + options.pjrt_device);
  return settings;
}

}  // namespace dstack::shim
