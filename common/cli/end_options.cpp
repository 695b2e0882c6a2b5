#include "common/cli/end_options.h"

#include <CLI/CLI.hpp>

namespace dstack::cli {

namespace {

bool takes_value(const CLI::App& app, const CLI::App* command, const std::string& name) {
  const CLI::Option* option = command != nullptr ? command->get_option_no_throw(name) : nullptr;
  if (option == nullptr) option = app.get_option_no_throw(name);
  return option != nullptr && option->get_items_expected_max() > 0;
}

// Whether the argument after this option is its value.
bool value_follows(const CLI::App& app, const CLI::App* command, const std::string& option) {
  if (option.starts_with("--")) return !option.contains('=') && takes_value(app, command, option);
  // "-it", "-eA=1": the first that takes a value takes what is left.
  for (std::size_t i = 1; i < option.size(); ++i) {
    if (takes_value(app, command, std::string("-") + option[i])) return i + 1 == option.size();
  }
  return false;
}

}  // namespace

std::vector<std::string> end_options(const CLI::App& app, std::vector<std::string> arguments,
                                     const std::map<std::string, int, std::less<>>& leading) {
  const CLI::App* command = nullptr;
  int left = 0;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--") return arguments;
    if (argument.starts_with('-') && argument.size() > 1) {
      if (value_follows(app, command, argument)) ++i;
    } else if (command == nullptr) {
      const auto found = leading.find(argument);
      if (found == leading.end()) return arguments;
      command = app.get_subcommand_no_throw(argument);
      left = found->second;
      if (command == nullptr) return arguments;
    } else if (left > 0) {
      --left;
    } else {
      arguments.insert(arguments.begin() + static_cast<std::ptrdiff_t>(i), "--");
      return arguments;
    }
  }
  return arguments;
}

}  // namespace dstack::cli
