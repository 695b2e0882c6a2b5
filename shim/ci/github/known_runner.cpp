#include "shim/ci/github/known_runner.h"

#include "common/error.h"

namespace dstack::shim::ci::github {

bool KnownRunner::is_listed(const std::string&, const Patience&) {
  throw Error(ErrorKind::unavailable, "GitHub cannot be asked without a token");
}

RerunAnswer KnownRunner::rerun(const CiJob&, const Patience&) {
  throw CiFailure(403, "this runner has no token that allows it");
}

}  // namespace dstack::shim::ci::github
