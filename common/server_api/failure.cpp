#include "common/server_api/failure.h"

#include <utility>

#include "common/exit_status.h"

namespace dstack::server_api {

namespace {

int exit_status_of(FailureKind reason) {
  switch (reason) {
    case FailureKind::unreachable: return exit_status::kUnavailable;
    case FailureKind::invalid_token:
    case FailureKind::forbidden:
    case FailureKind::not_member: return exit_status::kNoPermission;
    case FailureKind::no_project: return exit_status::kConfiguration;
    case FailureKind::refused: return exit_status::kFailed;
    case FailureKind::unknown_server: return exit_status::kBadData;
  }
  return exit_status::kFailed;
}

ErrorKind kind_of(FailureKind reason) {
  return reason == FailureKind::refused ? ErrorKind::conflict : ErrorKind::unavailable;
}

}  // namespace

Failure::Failure(FailureKind reason, const std::string& message, int http_status, std::string code)
    : CommandError(exit_status_of(reason), message, kind_of(reason)),
      reason_(reason),
      http_status_(http_status),
      code_(std::move(code)) {}

}  // namespace dstack::server_api
