#pragma once

#include <any>
#include <functional>
#include <memory>
#include <vector>

#include "common/exit_status.h"

namespace CLI {
class App;
}

namespace dstack::cli {

// A subcommand as it was given, ready to be executed.
struct Command {
  std::function<int()> execute;  // returns the exit status
  exit_status::Failures failures;
  std::any flags;  // a std::shared_ptr to the command's own struct, which `execute` uses

  // Throws std::bad_any_cast if it is another command.
  template <typename Flags>
  const Flags& flags_as() const {
    return *std::any_cast<std::shared_ptr<Flags>>(flags);
  }
};

// The subcommands of a program, all added in one way: the flags into a struct of their own, then what is done with it.
class Commands {
 public:
  explicit Commands(CLI::App& app) : app_(app) {}

  // `add_flags` adds the subcommand to the application and returns it; `complete` takes what the command needs of the
  // program's own flags, once all flags are parsed.
  template <typename Flags>
  void add(CLI::App* (*add_flags)(CLI::App&, Flags&), int (*execute)(const Flags&), exit_status::Failures failures,
           std::function<void(Flags&)> complete) {
    auto flags = std::make_shared<Flags>();
    CLI::App* const added = add_flags(app_, *flags);
    entries_.push_back(
        {.app = added,
         .complete = [flags, complete = std::move(complete)] { complete(*flags); },
         .command = {.execute = [flags, execute] { return execute(*flags); }, .failures = failures, .flags = flags}});
  }

  // The one that was given, complete; an empty function if none was. Call it after the parsing.
  Command given() const;
  // What a command line that is not understood is reported as: by the subcommand that was given, else `otherwise`.
  int usage_status(int otherwise) const;
  // The subcommand that was given; null if none was.
  CLI::App* given_app() const;

 private:
  struct Entry {
    CLI::App* app;
    std::function<void()> complete;
    Command command;
  };

  const Entry* given_entry() const;

  CLI::App& app_;
  std::vector<Entry> entries_;
};

// Executes it and returns the exit status. A failure is printed on stderr, after the program's name; a CommandError has
// a status of its own.
int execute(const Command& command, const char* program);

}  // namespace dstack::cli
