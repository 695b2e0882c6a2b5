#include "runner/repo/git.h"

#include <format>

#include "common/error.h"
#include "runner/repo/certificates.h"

namespace dstack::runner::repo {

namespace {

constexpr int kConnectTimeoutMs = 30000;
constexpr int kSilenceTimeoutMs = 120000;

}  // namespace

GitLibrary::GitLibrary() {
  check(git_libgit2_init(), "start libgit2");
  git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
  git_libgit2_opts(GIT_OPT_SET_SERVER_CONNECT_TIMEOUT, kConnectTimeoutMs);
  git_libgit2_opts(GIT_OPT_SET_SERVER_TIMEOUT, kSilenceTimeoutMs);
  // What was received has been checked once, by the index that was made of it.
  git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 0);
  trust_certificates();
}

GitLibrary::~GitLibrary() { git_libgit2_shutdown(); }

void check(int result, std::string_view action) {
  if (result >= 0) return;
  const git_error* error = git_error_last();
  const char* reason = error != nullptr && error->message != nullptr ? error->message : "unknown reason";
  const ErrorKind kind = result == GIT_EUSER ? ErrorKind::cancelled : ErrorKind::unavailable;
  throw Error(kind, std::format("{}: {}", action, reason));
}

}  // namespace dstack::runner::repo
