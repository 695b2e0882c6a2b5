#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "shim/ci/cloud/flags.h"

namespace dstack::shim::ci::cloud {

// The name of a run is that of its runner in lower case; nothing where the server would refuse it.
std::optional<std::string> run_name_of(const std::string& runner);

// What a dstack server is asked to run.
struct RunRequest {
  std::string name;
  std::vector<std::string> commands;
  std::map<std::string, std::string> variables;
  std::string ssh_public_key;
};

// {"run_name", "configuration", "ssh_key_pub"}
nlohmann::json run_spec(const CloudFlags& flags, const RunRequest& request);

}  // namespace dstack::shim::ci::cloud
