#include "common/server_api/flags.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "common/text/escape.h"

namespace dstack::server_api {

namespace {

std::string first_line_of_input() {
  std::string line;
  if (!std::getline(std::cin, line)) line.clear();
  while (line.ends_with('\r') || line.ends_with(' ')) line.pop_back();
  if (line.empty()) throw CLI::ValidationError("--token", "there is no token on stdin");
  return line;
}

}  // namespace

void add_account_flags(CLI::App& command, Given& given) {
  command.add_option_function<std::string>(
      "--token", [&given](const std::string& token) { given.token = token == "-" ? first_line_of_input() : token; },
      "The token of a user of the dstack server; - reads it from the first line of stdin (DSTACK_TOKEN)");
  command.add_option("--server", given.server, "The server's URL (DSTACK_SERVER_URL)");
  command.add_option("--project", given.project, "A project of that server (DSTACK_PROJECT)");
}

Account find_account(const Given& given) {
  const Settings settings = resolve(given, find_settings_files());
  for (const std::string& warning : settings.warnings)
    std::cerr << "warning: " << text::escape_controls(warning) << "\n";
  return settings.account();
}

}  // namespace dstack::server_api
