#pragma once

#include "common/server_api/settings.h"

namespace CLI {
class App;
}

namespace dstack::server_api {

// Adds --token (-: the first line of stdin), --server and --project; `given` must outlive the parsing.
void add_account_flags(CLI::App& command, Given& given);

}  // namespace dstack::server_api
