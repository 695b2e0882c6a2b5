#include "shim/ci/github/owner_in_container.h"

#include <format>
#include <iostream>

#include "common/text/escape.h"
#include "shim/docker/container_spec.h"

namespace dstack::shim::ci::github {

void warn(const std::string& message) { std::cerr << "WARNING: " << text::escape_controls(message) << '\n'; }

void change_owner_in(client::HeldRunner& runner, const std::string& folder, os::UserId uid, os::UserId gid) {
  std::string output;
  const auto end =
      runner.run({.id = "give-folder",
                  .arguments = {docker::kRunnerBinaryInContainer, "chown", std::format("{}:{}", uid, gid), folder}},
                 [&output](client::Stream, std::string_view piece) { output += piece; });
  if (end.status() != 0) warn(output);
}

}  // namespace dstack::shim::ci::github
