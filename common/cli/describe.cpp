#include "common/cli/describe.h"
#include "common/json/dump.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

namespace dstack::cli {

using nlohmann::json;

namespace {

bool is_hidden(const CLI::Option& option) { return option.get_group().empty(); }

bool takes_many(const CLI::Option& option) {
  return option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll && option.get_items_expected_max() > 1;
}

json describe_option(const CLI::Option& option) {
  json names = json::array();
  for (const auto& name : option.get_snames()) names.push_back("-" + name);
  for (const auto& name : option.get_lnames()) names.push_back("--" + name);
  const bool is_flag = option.get_items_expected_max() == 0;
  // Behind the colon are the checks of the value.
  const std::string type = option.get_type_name();
  return {{"names", std::move(names)},
          {"description", option.get_description()},
          {"value", is_flag ? json() : json(type.substr(0, type.find(':')))},
          {"default", option.get_default_str()},
          {"environment", option.get_envname()},
          {"repeatable", !is_flag && takes_many(option)}};
}

json describe_argument(const CLI::Option& option) {
  return {{"name", option.get_single_name()},
          {"description", option.get_description()},
          {"required", option.get_required()},
          {"repeatable", takes_many(option)}};
}

}  // namespace

json describe(const CLI::App& app) {
  json options = json::array();
  json arguments = json::array();
  for (const CLI::Option* option : app.get_options()) {
    if (is_hidden(*option)) continue;
    if (option->get_positional()) {
      arguments.push_back(describe_argument(*option));
    } else {
      options.push_back(describe_option(*option));
    }
  }
  json commands = json::array();
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!command->get_group().empty()) commands.push_back(describe(*command));
  }
  return {{"name", app.get_name()},
          {"description", app.get_description()},
          {"options", std::move(options)},
          {"arguments", std::move(arguments)},
          {"commands", std::move(commands)}};
}

void add_help_json(CLI::App& app) {
  app.add_flag_callback(
         "--help-json",
         [&app] {
           std::cout << dstack::json::dump(describe(app), 2) << "\n";
           throw CLI::Success();
         },
         "Print all options and commands as JSON and exit")
      ->trigger_on_parse();
}

}  // namespace dstack::cli
