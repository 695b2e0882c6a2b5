#pragma once

#include <string>
#include <string_view>

#include "common/command_error.h"

namespace dstack::server_api {

enum class FailureKind {
  unreachable,    // no connection, not HTTP, a status of 500 or more
  invalid_token,  // the server does not know the token
  forbidden,      // the token's user may not do this
  no_project,
  not_member,      // of the project
  refused,         // any other answer that is an error: the server's message
  unknown_server,  // an answer that lacks what is needed
};

// What a dstack server said, or failed to say, with the exit status of a command that it ends. The message holds no
// token and no key.
class Failure : public CommandError {
 public:
  Failure(FailureKind reason, const std::string& message, int http_status = 0, std::string code = "");

  FailureKind reason() const noexcept { return reason_; }
  int http_status() const noexcept { return http_status_; }  // 0: there was no answer
  // Whether the server's own code is this one: "resource_not_exists".
  bool is(std::string_view code) const noexcept { return code_ == code; }

 private:
  FailureKind reason_;
  int http_status_;
  std::string code_;
};

}  // namespace dstack::server_api
