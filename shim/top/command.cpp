#include "shim/top/command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/dump.h"
#include "shim/client/output.h"
#include "shim/top/collector.h"
#include "shim/top/gpu_usage.h"
#include "shim/top/report.h"
#include "shim/top/screen.h"

namespace dstack::shim::top {

namespace {

// Rates are differences: two looks, this far apart.
constexpr std::chrono::milliseconds kSampleTime{500};

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool speaks_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string value = variable(name);
    if (!value.empty()) return value.contains("UTF-8") || value.contains("utf8");
  }
  return false;
}

int print(Collector& collector, bool json) {
  collector.collect();
  os::pause(os::system_clock(), kSampleTime, {});
  Snapshot snapshot = collector.collect();
  sort_tasks(snapshot.tasks, Order::age);
  client::write_answer(json ? dstack::json::dump(as_json(snapshot), 2) + "\n" : as_text(snapshot));
  return 0;
}

}  // namespace

CLI::App* add_top_command(CLI::App& app, TopOptions& options) {
  CLI::App* top = app.add_subcommand("top", "Show tasks, GPUs and the host live in the terminal");
  top->add_flag("--once", options.once, "Print one sample as text and exit");
  top->add_flag("--json", options.json, "Print one sample as JSON and exit");
  top->add_option("--interval", options.interval, "Seconds between two samples")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  return top;
}

int top(const TopOptions& options) {
  const bool prints = options.once || options.json;
  if (!prints && (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0)) {
    std::cerr << "dstack-shim: top needs a terminal; use --once or --json without one\n";
    return 1;
  }
  client::ShimApi shim(options.shim_port);
  std::optional<docker::EngineClient> engine;
  std::string engine_problem;
  try {
    engine.emplace(docker::engine_address());
  } catch (const std::exception& error) {
    engine_problem = error.what();
  }
  Collector collector(shim, engine ? &*engine : nullptr, engine_problem, [] { return ask_gpus(); });
  if (prints) return print(collector, options.json);
  return run_screen(collector, {.shim_port = options.shim_port,
                                .interval = std::chrono::seconds(options.interval),
                                .colours = variable("NO_COLOR").empty(),
                                .utf8 = speaks_utf8()});
}

}  // namespace dstack::shim::top
