#include "common/cli/unknown_option.h"

#include <CLI/CLI.hpp>
#include <catch2/catch_test_macros.hpp>
#include <string>

using dstack::cli::find_unknown_option;

namespace {

// A program with a port, and its command with a flag, a value and a list of values.
struct Program {
  Program() {
    app.add_option("--port", text);
    command->add_flag("-i", flag);
    command->add_option("-e,--env", list);
    command->add_option("--idle-timeout", text);
  }

  auto unknown(const std::vector<std::string>& arguments) const {
    return find_unknown_option(*command, arguments, {app.get_option("--port")});
  }

  CLI::App app;
  CLI::App* command = app.add_subcommand("command");
  std::string text;
  std::vector<std::string> list;
  bool flag = false;
};

}  // namespace

TEST_CASE("the first option that a command does not have is found, without its value") {
  const Program program;
  CHECK(program.unknown({"-i", "--nothing=1", "--more"}) == "--nothing");
  CHECK(program.unknown({"word", "-x"}) == "-x");
  CHECK(program.unknown({"-i", "--env", "A=1", "--port", "1", "word"}) == std::nullopt);
  CHECK(program.unknown({"--", "--nothing"}) == std::nullopt);
}

TEST_CASE("the value of an option may begin with a dash") {
  const Program program;
  CHECK(program.unknown({"--idle-timeout", "-1"}) == std::nullopt);
  CHECK(program.unknown({"--port", "-1", "-e", "-x", "-ie", "--y"}) == std::nullopt);
  CHECK(program.unknown({"--idle-timeout=1", "-1"}) == "-1");
  CHECK(program.unknown({"-eA=1", "-1"}) == "-1");
  CHECK(program.unknown({"-i", "-1"}) == "-1");
}
