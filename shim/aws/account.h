#pragma once

#include <iosfwd>

#include "common/server_api/client.h"
#include "shim/aws/keys.h"
#include "shim/aws/server_file.h"

namespace dstack::shim::aws {

// The AWS account of a project, at the server and in the server's own file. Answers go to `out`, everything else to
// `talk`. All of these outlive this object. Members return an exit status and throw CommandError.
class AwsAccount {
 public:
  AwsAccount(server_api::Client& server, ServerFile file, std::ostream& out, std::ostream& talk)
      : server_(server), file_(std::move(file)), out_(out), talk_(talk) {}

  int configure(const Keys& keys, bool show_secret) const;
  int show(bool json) const;
  int remove() const;

 private:
  void store(const nlohmann::ordered_json& settings, bool is_new) const;
  void keep_over_restart(nlohmann::ordered_json settings, bool show_secret) const;
  void forget_over_restart() const;

  server_api::Client& server_;
  const ServerFile file_;
  std::ostream& out_;
  std::ostream& talk_;
};

}  // namespace dstack::shim::aws
