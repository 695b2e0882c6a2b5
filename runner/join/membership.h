#pragma once

#include <string>

#include "common/server_api/client.h"

namespace dstack::runner::join {

// The name of the token's user, who is a member of the project or a global admin. Throws Failure otherwise: a public
// project answers everybody.
std::string check_membership(server_api::Client& server);

}  // namespace dstack::runner::join
