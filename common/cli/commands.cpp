#include "common/cli/commands.h"

#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>

#include "common/command_error.h"
#include "common/os/signals.h"
#include "common/text/escape.h"

namespace dstack::cli {

const Commands::Entry* Commands::given_entry() const {
  for (const Entry& entry : entries_) {
    if (entry.app->parsed()) return &entry;
  }
  return nullptr;
}

Command Commands::given() const {
  const Entry* entry = given_entry();
  if (entry == nullptr) return {};
  entry->complete();
  return entry->command;
}

int Commands::usage_status(int otherwise) const {
  const Entry* entry = given_entry();
  return entry == nullptr ? otherwise : entry->command.failures.usage;
}

CLI::App* Commands::given_app() const {
  const Entry* entry = given_entry();
  return entry == nullptr ? nullptr : entry->app;
}

int execute(const Command& command, const char* program) {
  // A reader of the answer that has seen enough closes the pipe, which is not a failure.
  os::ignore_broken_pipes();
  try {
    return command.execute();
  } catch (const CommandError& error) {
    std::cerr << program << ": " << text::escape_lines(error.what()) << "\n";
    return error.exit_status();
  } catch (const std::exception& error) {
    std::cerr << program << ": " << text::escape_lines(error.what()) << "\n";
    return command.failures.failed;
  }
}

}  // namespace dstack::cli
