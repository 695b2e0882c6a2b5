#include "common/cli/end_options.h"

#include <CLI/CLI.hpp>

#include "common/cli/following_value.h"

namespace dstack::cli {

std::vector<std::string> end_options(const CLI::App& app, std::vector<std::string> arguments,
                                     const std::map<std::string, int, std::less<>>& leading) {
  const CLI::App* command = nullptr;
  const auto find = [&](const std::string& name) {
    const CLI::Option* option = command != nullptr ? command->get_option_no_throw(name) : nullptr;
    return option != nullptr ? option : app.get_option_no_throw(name);
  };
  int left = 0;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--") return arguments;
    if (argument.starts_with('-') && argument.size() > 1) {
      if (value_follows(argument, find)) ++i;
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
