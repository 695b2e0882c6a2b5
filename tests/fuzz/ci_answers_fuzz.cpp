// What a CI system, its agent and a job's author write: GitLab's job, the request of an Actions agent to its hooks,
// options of `docker create`, a Docker configuration, lines that the agents log. The first byte says which of them.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "shim/ci/github/agent.h"
#include "shim/ci/github/create_options.h"
#include "shim/ci/github/github.h"
#include "shim/ci/github/hook_request.h"
#include "shim/ci/gitlab/agent.h"
#include "shim/ci/gitlab/job_response.h"
#include "shim/ci/registry_login.h"
#include "tests/fuzz/first_byte.h"
#include "tests/fuzz/planted.h"

namespace {

using namespace dstack::shim::ci;
using dstack::test::planted_bug;

void read(char kind, std::string_view text) {
  switch (kind) {
    case 'j': {
      const auto none = [](const std::string&) -> std::optional<std::string> { return std::nullopt; };
      const gitlab::JobResponse job = gitlab::parse_job_response(std::string(text), none);
      for (const gitlab::ServiceRequest& service : job.services) gitlab::service_names(service);
      planted_bug(job.services.size() == 2);
      break;
    }
    case 'h': github::parse_hook_request(text); break;
    case 'r': github::parse_agent_release(std::string(text)); break;
    case 'o': github::parse_create_options(text, false); break;
    case 'd': parse_docker_config(text); break;
    case 'a': github::parse_line(text); break;
    default: gitlab::parse_line(text); gitlab::warning_in(text);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return dstack::test::read_by_first_byte(data, size, read);
}
