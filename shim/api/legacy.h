#pragma once

#include <string>

#include "common/http/server.h"
#include "common/os/mutex.h"
#include "shim/drain/drain.h"
#include "shim/task/task_manager.h"

namespace dstack::shim::api {

// The generation of the API before tasks: one implicit task at a time, which a v2 client sees under legacy_task_id.
inline constexpr const char* kLegacyTaskId = "00000000-0000-0000-0000-000000000000";

class LegacyApi {
 public:
  LegacyApi(task::TaskManager& tasks, const Drain& drain) : tasks_(tasks), drain_(drain) {}

  // Adds /api/submit, /api/pull and /api/stop. The server must not outlive this.
  void add_routes(http::Server& server);

 private:
  http::Response submit(const http::Request& request);
  http::Response pull() const;
  http::Response stop(const http::Request& request);

  task::TaskManager& tasks_;
  const Drain& drain_;
  // Between looking at the predecessor and taking its place.
  os::Mutex submitting_;
};

}  // namespace dstack::shim::api
