#include <catch2/catch_test_macros.hpp>
#include <string>
#include <vector>

#include "common/text/shell_words.h"
#include "shim/ci/github/hook_script.h"

using namespace dstack;
using namespace dstack::shim::ci;

TEST_CASE("the script for the Actions agent becomes the hook, with the launcher's flags", "[ci]") {
  ContainerFlags flags;
  flags.gpus = "1";
  flags.shim_port = 4000;
  flags.volumes = {"/data set:/data:ro", "it's:/x"};
  const std::string script = github::hook_script("/opt/my tools/dstack-shim", "/var/lib/ci/state", flags);
  REQUIRE(script.starts_with("#!/bin/bash\nexec "));
  const auto words = text::split_shell_words(script.substr(script.find('\n') + 1));
  REQUIRE(words);
  std::vector<std::string> expected{"exec",    "/opt/my tools/dstack-shim", "ci", "github-hook",
                                    "--state", "/var/lib/ci/state"};
  for (const std::string& argument : to_arguments(flags)) expected.push_back(argument);
  CHECK(*words == expected);
}
