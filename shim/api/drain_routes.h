#pragma once

#include "common/http/server.h"
#include "shim/drain/drain.h"

namespace dstack::shim::api {

// POST /local/drain {"reason"} and POST /local/undrain. `drain` must outlive the server.
void add_drain_routes(http::Server& server, Drain& drain);

}  // namespace dstack::shim::api
