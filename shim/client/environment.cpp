#include "shim/client/environment.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <format>

#include "common/error.h"
#include "common/os/file.h"
#include "common/text/split.h"
#include "common/text/trim.h"

namespace dstack::shim::client {

namespace {

constexpr std::size_t kFileLimit = std::size_t{16} << 20;

std::string check_variable(const std::string& text) {
  return text.empty() || text.starts_with('=') ? "not of the form NAME=VALUE or NAME: " + text : std::string();
}

}  // namespace

void add_environment_option(CLI::App& command, std::vector<std::string>& environment) {
  command
      .add_option("--env,-e", environment, "NAME=VALUE for the command, or NAME to pass its value on; may be repeated")
      ->check(CLI::Validator(check_variable, ""))
      ->allow_extra_args(false);
}

std::vector<std::string> resolved(const std::vector<std::string>& environment) {
  std::vector<std::string> all;
  for (std::string variable : environment) {
    const std::string name = variable.substr(0, variable.find('='));
    if (name.size() == variable.size()) {
      const char* value = std::getenv(name.c_str());
      if (value == nullptr) continue;
      variable += std::string("=") + value;
    }
    std::erase_if(all, [&name](const std::string& other) { return other.starts_with(name + "="); });
    all.push_back(std::move(variable));
  }
  return all;
}

std::vector<std::string> read_environment_file(const std::string& path) {
  std::vector<std::string> variables;
  const std::string content = os::read_file(path, kFileLimit);
  int number = 0;
  for (std::string_view line : text::split(content, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::size_t begin = line.find_first_not_of(" \t");
    if (begin == std::string_view::npos || line[begin] == '#') continue;
    line.remove_prefix(begin);
    const std::string_view name = line.substr(0, line.find('='));
    if (name.empty() || name.find_first_of(" \t") != std::string_view::npos) {
      throw Error(ErrorKind::invalid, std::format("{}, line {}: {} is not a valid variable name", printable(path),
                                                  number, printable(name)));
    }
    variables.emplace_back(line);
  }
  return variables;
}

}  // namespace dstack::shim::client
