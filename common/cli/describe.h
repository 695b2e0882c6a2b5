#pragma once

#include <CLI/App.hpp>
#include <nlohmann/json_fwd.hpp>

namespace dstack::cli {

// A command line's options as JSON, for what is generated from them (man pages, completions):
// {"name", "description", "options": [{"names": ["-f", "--follow"], "description", "value": "TEXT" | null for a flag,
//  "default", "environment", "repeatable"}], "arguments": [{"name", "description", "required", "repeatable"}],
//  "commands": [the same shape]}. Hidden options and commands are left out.
nlohmann::json describe(const CLI::App& app);

// Adds --help-json, which prints that and ends the parse with success, whatever else is on the command line.
void add_help_json(CLI::App& app);

}  // namespace dstack::cli
