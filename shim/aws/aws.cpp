#include "shim/aws/aws.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "common/exit_status.h"
#include "common/server_api/flags.h"
#include "shim/aws/account.h"
#include "shim/aws/keys.h"

namespace dstack::shim::aws {

CLI::App* add_aws_command(CLI::App& app, AwsCommand& command) {
  using Verb = AwsCommand::Verb;
  CLI::App* aws = app.add_subcommand("aws", "The AWS account in which a project of a dstack server may start machines");
  aws->require_subcommand(1);
  const auto add = [&](const char* name, const char* description, Verb verb) {
    CLI::App* added = aws->add_subcommand(name, description);
    added->callback([&command, verb] { command.verb = verb; });
    server_api::add_account_flags(*added, command.given);
    return added;
  };
  const char* const config_file = "The server's config.yml (default: ~/.dstack/server/config.yml on this machine)";

  CLI::App* configure = add("configure", "Give the server AWS keys and regions, or replace them", Verb::configure);
  configure->add_option("--access-key-id", command.access_key_id, "The access key's ID (default: asked for)");
  configure->add_option("--secret-access-key", command.secret_access_key,
                        "Only \"-\": the secret access key is the next line of stdin (default: asked for)");
  configure->add_option("--region", command.regions, "A region in which machines may start; may be repeated")
      ->expected(1)
      ->take_all();
  configure->add_flag("--from-env", command.from_environment,
                      "Read AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION");
  configure->add_option("--server-config", command.server_config, config_file);
  configure->add_flag("--show-secret", command.show_secret,
                      "Print the keys in the lines that the server's config.yml needs");

  CLI::App* show = add("show", "Print the regions and the beginning of the access key's ID", Verb::show);
  show->add_flag("--json", command.json, "Print them as JSON");

  CLI::App* remove = add("remove", "Take the AWS account from the project", Verb::remove);
  remove->add_option("--server-config", command.server_config, config_file);
  return aws;
}

int execute(const AwsCommand& command) {
  if (!command.verb) return exit_status::kUsage;
  const server_api::Account account = server_api::find_account(command.given);
  // What a person types is looked at before the server is.
  std::optional<Keys> keys;
  if (command.verb == AwsCommand::Verb::configure) keys = find_keys(command, std::cerr);
  server_api::Client server(account);
  const AwsAccount aws(server, server_file(command.server_config, account.url), std::cout, std::cerr);
  if (keys) return aws.configure(*keys, command.show_secret);
  return command.verb == AwsCommand::Verb::show ? aws.show(command.json) : aws.remove();
}

}  // namespace dstack::shim::aws
