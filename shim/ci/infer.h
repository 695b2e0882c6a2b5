#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "common/os/clock.h"
#include "common/secret.h"
#include "shim/ci/ci.h"
#include "shim/ci/launcher_flags.h"
#include "shim/ci/repository.h"

namespace dstack::shim::ci {

// A variable of the environment; null where it is unset.
using Variables = std::function<const char*(const char*)>;

// What a CI step's environment and a git folder say where no flag does. Throw CommandError (2) where nothing does.
Secret infer_token(const Secret& given, const Variables& variables);
Repository infer_repository(const std::string& given, const Variables& variables,
                            const std::function<std::string()>& git_origin);
// "github" or "gitlab"; nothing where the host has to be asked. Nobody is asked here.
std::optional<std::string> infer_driver(const std::string& given, const Repository& repository,
                                        const Variables& variables);

// The URL of the "origin" of the git folder that this process works in; empty if there is none.
std::string git_origin();

// Which CI, and where.
struct Target {
  std::string driver;
  std::string base_url;  // of the CI: it may lie below a path
  std::string path;      // of the project or group there
};

// Asks the repository's host, without a token, which CI it is if `driver` does not say, and where GitLab is. An
// unreachable host is asked again if the driver is known. Throws Error.
Target find_target(const Repository& repository, const std::optional<std::string>& driver, os::Clock& clock,
                   const Patience& patience);

}  // namespace dstack::shim::ci
