#pragma once

namespace CLI {
class App;
}

namespace dstack::shim::top {

// dstack-shim top: the host live in the terminal.
struct TopOptions {
  int shim_port = 10998;
  bool once = false;  // print one look as text and exit
  bool json = false;  // print one look as JSON and exit
  int interval = 2;   // seconds between two looks
};

// Adds the subcommand's flags; `options` must outlive the parsing.
CLI::App* add_top_command(CLI::App& app, TopOptions& options);

// The exit code: 0, or 1 without a terminal where one is needed.
int top(const TopOptions& options);

}  // namespace dstack::shim::top
