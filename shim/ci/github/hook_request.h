#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shim/ci/registry_login.h"
#include "shim/client/published_port.h"

namespace dstack::shim::ci::github {

enum class HookCommand { prepare_job, run_script_step, run_container_step, cleanup_job };

struct MountRequest {
  std::string source;  // a path on the host, or a volume's name; empty: a volume without a name
  std::string target;
  bool read_only = false;
};

// A container as the agent asks for it. Strings are empty where it says nothing.
struct HookContainer {
  std::string image;
  std::string dockerfile;  // the image is built from it
  std::string entrypoint;
  std::vector<std::string> arguments;  // of the entry point, as a shell splits them
  std::string working_dir;
  std::string create_options;  // options of `docker create`, as text
  std::optional<RegistryLogin> login;
  std::map<std::string, std::string> environment;
  std::vector<client::PublishedPort> ports;
  std::vector<MountRequest> system_mounts;  // the agent's own
  std::vector<MountRequest> user_mounts;    // the workflow's
  std::string context_name;                 // of a service in the workflow; agents up to 2.336 do not say it
};

// A program in the job's container.
struct ScriptStep {
  std::string entrypoint;
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment;
  std::vector<std::string> prepend_path;
  std::string working_dir;
};

// What the Actions agent wants of a hook.
struct HookRequest {
  HookCommand command = HookCommand::prepare_job;
  std::filesystem::path response_file;  // empty: no answer is wanted
  bool has_state = false;               // the answer of prepare_job is known
  std::string state_job;                // which job it was for; empty: not a state of ours
  // prepare_job and run_container_step
  std::optional<HookContainer> container;
  std::vector<HookContainer> services;
  ScriptStep step;  // run_script_step
};

// The agent's line of JSON. A null is as if it were not there; unknown fields are ignored. Throws Error (invalid) that
// names what is wrong.
HookRequest parse_hook_request(std::string_view text);

}  // namespace dstack::shim::ci::github
