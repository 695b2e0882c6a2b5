#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shim/ci/registry_login.h"

namespace dstack::shim::ci::gitlab {

// The value of a variable of the process' environment; nothing if it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

struct ServiceRequest {
  std::string image;
  std::vector<std::string> aliases;  // as they were given
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;
  std::map<std::string, std::string> variables;  // the service's own
  std::string pull_policy;                       // the first one
};

// What GitLab says of a job, as far as containers go.
struct JobResponse {
  std::string id;
  std::string project;
  std::string pipeline;
  std::string server;       // its URL
  std::string image;        // empty: none is named
  std::string user;         // empty: the image's
  std::string platform;     // "linux/amd64"; empty: any
  std::string pull_policy;  // the first one
  std::vector<ServiceRequest> services;
  std::map<std::string, std::string> public_variables;  // those that services get, expanded
  std::vector<RegistryLogin> logins;                    // those of the job first
};

// The content of JOB_RESPONSE_FILE, with the expanded values of variables that the environment has as CUSTOM_ENV_….
// Throws Error (invalid) that names what is malformed.
JobResponse parse_job_response(const std::string& text, const Environment& environment);

// Reads that file. Throws Error.
JobResponse read_job_response(const Environment& environment);

// $NAME and ${NAME} in `text` replaced by what `value_of` says, "" for nothing; $$ is a dollar sign.
std::string expand(std::string_view text, const Environment& value_of);

// The names that a service has in the job's network: its aliases, then its image's path with "-" and with "__" for "/",
// each once. A registry's port, a tag and a digest are no part of them.
std::vector<std::string> service_names(const ServiceRequest& service);

}  // namespace dstack::shim::ci::gitlab
