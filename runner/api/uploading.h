#pragma once

#include "common/http/server.h"
#include "runner/job/executor.h"

namespace dstack::runner::api {

// What the job will need, written to disk as it arrives. Both throw Error, and nothing is kept then.
http::Response upload_archive(job::Executor& executor, const http::Request& request, http::BodyReader& body);
http::Response upload_code(job::Executor& executor, http::BodyReader& body);

}  // namespace dstack::runner::api
