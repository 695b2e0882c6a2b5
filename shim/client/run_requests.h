#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "shim/client/run.h"

namespace dstack::shim::client {

// What the shim and the runner are asked for, as docs/api has it. The options were checked when they were parsed.
// Throws Error (invalid) for what cannot be sent, and for an environment file that cannot be read.
//
// With `start_later` the container is made and waits for ShimApi::start().
nlohmann::json task_of(const RunOptions& options, const std::string& id, const std::string& name,
                       bool start_later = false);
nlohmann::json job_of(const RunOptions& options, const std::string& id, const std::string& name);

}  // namespace dstack::shim::client
