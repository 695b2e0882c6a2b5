#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "common/secret.h"
#include "common/server_api/settings.h"
#include "shim/aws/aws.h"

namespace dstack::shim::aws {

struct Keys {
  Secret access_key_id;
  Secret secret_access_key;
  std::vector<std::string> regions;  // at least one, each of the form of one
};

// From flags, then (--from-env) the environment, then a person at the terminal, whose questions and answers go over
// stderr; `talk` gets what there is to say. Throws CommandError: 64 for what is missing with nobody to ask, 65 for a
// region that cannot be one.
Keys find_keys(const AwsCommand& command, std::ostream& talk,
               const server_api::Environment& environment = server_api::process_environment);

}  // namespace dstack::shim::aws
