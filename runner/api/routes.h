#pragma once

#include <string>

#include "common/http/server.h"
#include "runner/job/executor.h"
#include "runner/logs/logs.h"
#include "runner/ssh/connections.h"

namespace dstack::runner::api {

// Everything under /api. What it answers from outlives the server.
void add_routes(http::Server& server, job::Executor& executor, Logs& logs, ssh::ConnectionWatch& connections);

// Binds what --http-address means: "localhost" is 127.0.0.1, and ::1 where there is one. Throws Error naming the port.
int bind(http::Server& server, const std::string& address, int port);

}  // namespace dstack::runner::api
