#include "common/cli/unknown_option.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <numeric>

#include "common/cli/following_value.h"

namespace dstack::cli {

namespace {

// docker's names for what is called otherwise here.
const std::map<std::string, std::string, std::less<>>& known_names() {
  static const std::map<std::string, std::string, std::less<>> kNames{
      {"--mount", "--volume"}, {"--volumes-from", "--volume"}, {"--tmpfs", "--volume"}, {"--device", "--gpus"},
      {"--runtime", "--gpus"}, {"--expose", "--publish"},      {"-P", "--publish"},     {"-m", "--memory"},
      {"-c", "--cpus"},        {"--hostname", "--name"}};
  return kNames;
}

// How many letters are to be changed, added or removed (Levenshtein's distance).
std::size_t distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < from.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < to.size(); ++j) {
      const std::size_t replaced = diagonal + (from[i] == to[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

// A name that only goes on where the other ends is nearer than its length says.
std::size_t strangeness(std::string_view unknown, std::string_view known) {
  return unknown.starts_with(known) || known.starts_with(unknown) ? 1 : distance(unknown, known);
}

}  // namespace

std::optional<std::string> find_unknown_option(const CLI::App& command, const std::vector<std::string>& arguments,
                                               const std::vector<const CLI::Option*>& others) {
  const auto find = [&](const std::string& name) {
    if (const CLI::Option* own = command.get_option_no_throw(name)) return own;
    const auto other = std::ranges::find_if(others, [&](const CLI::Option* each) { return each->check_name(name); });
    return other == others.end() ? nullptr : *other;
  };
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--") break;
    if (!argument.starts_with('-') || argument.size() < 2) continue;
    std::string name = argument.starts_with("--") ? argument.substr(0, argument.find('=')) : argument.substr(0, 2);
    if (find(name) == nullptr) return name;
    // A value may begin with "-", too.
    if (value_follows(argument, find)) ++i;
  }
  return std::nullopt;
}

std::string nearest_option(const CLI::App& command, std::string_view unknown) {
  if (const auto known = known_names().find(unknown);
      known != known_names().end() && command.get_option_no_throw(known->second) != nullptr) {
    return known->second;
  }
  std::string nearest;
  std::size_t least = SIZE_MAX;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      const std::size_t here = strangeness(unknown, "--" + name);
      if (here >= least) continue;
      least = here;
      nearest = "--" + name;
    }
  }
  return nearest;
}

}  // namespace dstack::cli
