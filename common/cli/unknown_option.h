#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace dstack::cli {

// The first of `arguments` that is an option and that neither `command` has nor is one of `others`, without its value;
// nothing if there is none before "--".
std::optional<std::string> find_unknown_option(const CLI::App& command, const std::vector<std::string>& arguments,
                                               const std::vector<const CLI::Option*>& others);

// The option of `command` whose name is the nearest to `unknown`, as "--name".
std::string nearest_option(const CLI::App& command, std::string_view unknown);

}  // namespace dstack::cli
