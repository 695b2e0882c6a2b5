#include "shim/autoscale/autoscale.h"

#include <CLI/CLI.hpp>
#include <format>
#include <iostream>

#include "common/command_error.h"
#include "common/exit_status.h"
#include "common/server_api/flags.h"
#include "common/text/number.h"
#include "shim/autoscale/rule.h"
#include "shim/client/prompt.h"

namespace dstack::shim::autoscale {

namespace {

using Verb = AutoscaleCommand::Verb;

constexpr const char* kYes = "Stop the runs on machines that are ended, without asking";
constexpr const char* kDrain = "Let the runs on machines that are ended go on to their end";

void check_allow_flags(const AutoscaleCommand& command) {
  if (command.spot == command.on_demand) throw usage_error("allow takes one of --spot and --on-demand");
  const auto maximum = text::parse_number<std::int32_t>(command.maximum);
  if (maximum == 0) throw usage_error("--max 0: use remove");
  if (!maximum || *maximum < 0)
    throw usage_error(std::format("--max {} is not a number from 1", printable(command.maximum)));
  if (!command.idle.empty() && !parse_duration(command.idle))
    throw usage_error(std::format("--idle {} is not a duration: 90s, 5m, 2h, 1d, 1w", printable(command.idle)));
}

}  // namespace

CLI::App* add_autoscale_command(CLI::App& app, AutoscaleCommand& command) {
  CLI::App* autoscale =
      app.add_subcommand("autoscale", "Which machines a dstack server may start in AWS when jobs wait, and how many");
  autoscale->require_subcommand(1);
  const auto add = [&](const char* name, const char* description, Verb verb) {
    CLI::App* added = autoscale->add_subcommand(name, description);
    added->callback([&command, verb] { command.verb = verb; });
    server_api::add_account_flags(*added, command.given);
    return added;
  };
  const auto add_endings = [&](CLI::App* verb) {
    verb->add_flag("--yes", command.yes, kYes);
    verb->add_flag("--drain", command.drain, kDrain)->excludes("--yes");
  };

  CLI::App* allow = add("allow", "Allow machines of an instance type, or change how many", Verb::allow);
  allow->add_option("instance-type", command.instance_type, "An instance type of EC2: m5.xlarge")->required();
  allow->add_option("--max,-m", command.maximum, "How many at once")->required();
  allow->add_flag("--spot,-s", command.spot, "On the spot market");
  allow->add_flag("--on-demand,-d", command.on_demand, "At the price on demand");
  allow
      ->add_option("--region", command.regions,
                   "Only in this region; may be repeated (default: all that are configured)")
      ->expected(1)
      ->take_all();
  allow->add_option("--idle", command.idle, "How long a machine without a job is kept: 90s, 5m, 2h (default: 5m)");
  add_endings(allow);

  CLI::App* remove = add("remove", "End the rules of an instance type, and their machines", Verb::remove);
  remove->add_option("instance-type", command.instance_type, "The instance type");
  remove->add_flag("--all,-a", command.all, "All rules");
  add_endings(remove);

  add("info", "List the rules and how many machines run", Verb::info)
      ->add_flag("--json", command.json, "Print them as JSON");
  add("enable", "Turn all rules on again, as they were", Verb::enable);
  add_endings(add("disable", "Turn all rules off, and end their machines", Verb::disable));
  return autoscale;
}

void check_flags(const AutoscaleCommand& command) {
  if (command.verb == Verb::allow) check_allow_flags(command);
  if (command.verb == Verb::remove && command.all == !command.instance_type.empty())
    throw usage_error("remove takes either an instance type or --all");
  if (!command.instance_type.empty() && !looks_like_instance_type(command.instance_type)) {
    throw CommandError(exit_status::kBadData, std::format("{} is not an instance type: they have the form m5.xlarge",
                                                          printable(command.instance_type)));
  }
}

int execute(const AutoscaleCommand& command) {
  if (!command.verb) return exit_status::kUsage;
  check_flags(command);
  server_api::Client server(server_api::find_account(command.given));
  Session session{.server = server, .clock = os::system_clock(), .out = std::cout, .talk = std::cerr, .ask = nullptr};
  if (client::has_terminal()) session.ask = client::ask_yes_or_no;
  switch (*command.verb) {
    case Verb::allow: return allow(command, session);
    case Verb::remove: return remove(command, session);
    case Verb::info: return show_rules(command, session);
    case Verb::enable: return enable(command, session);
    case Verb::disable: return disable(command, session);
  }
  return exit_status::kUsage;
}

}  // namespace dstack::shim::autoscale
