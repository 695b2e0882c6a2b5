#include "common/cli/following_value.h"

#include <CLI/CLI.hpp>

namespace dstack::cli {

bool value_follows(const std::string& argument, const FindOption& find) {
  const auto takes_value = [&find](const std::string& name) {
    const CLI::Option* option = find(name);
    return option != nullptr && option->get_items_expected_max() > 0;
  };
  if (argument.starts_with("--")) return !argument.contains('=') && takes_value(argument);
  // "-it", "-eA=1": the first that takes a value takes what is left.
  for (std::size_t i = 1; i < argument.size(); ++i) {
    if (takes_value(std::string("-") + argument[i])) return i + 1 == argument.size();
  }
  return false;
}

}  // namespace dstack::cli
