#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/server_api/settings.h"

namespace CLI {
class App;
}

// dstack-shim aws: the AWS account in which a project of a dstack server may start machines.
namespace dstack::shim::aws {

struct AwsCommand {
  enum class Verb { configure, show, remove };
  std::optional<Verb> verb;  // nothing until its subcommand was given
  server_api::Given given;
  std::string access_key_id;         // configure; empty: asked for
  std::string secret_access_key;     // configure; "-": a line of stdin, empty: asked for
  std::vector<std::string> regions;  // configure; empty: asked for
  bool from_environment = false;     // configure
  bool show_secret = false;          // configure
  std::string server_config;         // configure, remove; empty: the server's own place
  bool json = false;                 // show
};

CLI::App* add_aws_command(CLI::App& app, AwsCommand& command);

// Throws CommandError, Error.
int execute(const AwsCommand& command);

}  // namespace dstack::shim::aws
