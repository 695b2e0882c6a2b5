#pragma once

#include <string>
#include <string_view>

#include "runner/options.h"

namespace dstack::runner {

// Logs what this runner is, where it listens and who may log in: an idle runner's log says that much.
void log_startup(const Options& options, int http_port, bool ssh_answers);

// A line of authorized_keys by its type and comment, since the key itself says nothing to a person.
std::string describe_key(std::string_view line);

}  // namespace dstack::runner
