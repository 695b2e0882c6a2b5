#pragma once

#include "common/server_api/settings.h"

namespace CLI {
class App;
}

namespace dstack::server_api {

// Adds --token (-: the first line of stdin), --server and --project; `given` must outlive the parsing.
void add_account_flags(CLI::App& command, Given& given);

// The account that those flags, the environment and the files name; warnings are printed on stderr. Throws CommandError
// as resolve() and Settings::account() do.
Account find_account(const Given& given);

}  // namespace dstack::server_api
