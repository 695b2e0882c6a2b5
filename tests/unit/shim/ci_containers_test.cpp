#include "shim/ci/containers.h"

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>

#include "common/error.h"
#include "common/http/server.h"
#include "tests/support/eager_clock.h"
#include "tests/support/running_server.h"

namespace dstack::shim::ci {

TEST_CASE("a held container that ends at once is told with its end") {
  std::atomic<int> asked = 0;
  http::Server server;
  server.get("/api/tasks/{id}", [&asked](const http::Request&) {
    const char* end = R"("status": "terminated", "termination_reason": "container_exited_with_error",
                         "termination_message": "exec: argument list too long")";
    const std::string state = ++asked < 3 ? R"("status": "running")" : end;
    return http::Response{.status = 200, .body = R"({"id": "1", "name": "job", )" + state + "}"};
  });
  const test::RunningServer running(server);
  test::EagerClock clock;
  client::ShimApi shim(running.port(), clock);
  const JobNames names("https://ci", "1");
  Containers containers(shim, names, {}, clock);
  const client::TaskDetails details = containers.details("job");
  REQUIRE_FALSE(details.task.runner_port);
  CHECK_THROWS_MATCHES(containers.runner(details), Error,
                       Catch::Matchers::Message("container job has ended: container_exited_with_error: exec: argument "
                                                "list too long"));
}

}  // namespace dstack::shim::ci
