// Makes the system calls of a program fail, one after the other, while it does what it is for.
//
//   inject shim|runner [--every K | --at N] [--sticky] [--only KIND] [--user NAME] [--program FILE]
//
// For each kind of error: the first call that it may be the answer to fails, then the second, and so on until a life
// has no more. With --every, only each Kth; with --at, only the Nth. With --sticky, every later call of that life fails
// as well. FILE is what is run in place of the debug build's program. Run it as root.

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string_view>

#include "tests/inject/report.h"
#include "tests/inject/runner_life.h"
#include "tests/inject/shim_life.h"

using namespace dstack::test;

namespace {

struct Options {
  std::string subject;
  unsigned every = 1;
  unsigned at = 0;  // 0: all of them
  bool sticky = false;
  std::string only;
  std::string user;
  std::string program;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--sticky") {
      options.sticky = true;
    } else if (argument == "--every" && has_value) {
      options.every = static_cast<unsigned>(std::stoul(argv[++i]));
    } else if (argument == "--at" && has_value) {
      options.at = static_cast<unsigned>(std::stoul(argv[++i]));
    } else if (argument == "--only" && has_value) {
      options.only = argv[++i];
    } else if (argument == "--user" && has_value) {
      options.user = argv[++i];
    } else if (argument == "--program" && has_value) {
      options.program = std::filesystem::absolute(argv[++i]);
    } else if (argument == "shim" || argument == "runner") {
      options.subject = argument;
    } else {
      throw std::invalid_argument("unknown argument: " + std::string(argument));
    }
  }
  if (options.subject.empty()) throw std::invalid_argument("shim or runner?");
  return options;
}

Row sweep(Subject& subject, const FaultKind& kind, const Options& options) {
  Row row{.kind = std::string(kind.name), .endings = {}, .problems = {}};
  for (unsigned nth = std::max(options.at, 1U);; nth += options.every) {
    const LifeResult result = subject.live({.kind = &kind, .nth = nth, .sticky = options.sticky});
    row.problems.insert(row.problems.end(), result.problems.begin(), result.problems.end());
    for (const std::string& problem : result.problems) std::cerr << problem << "\n";
    if (result.outcome.seen < nth) return row;
    row.add(result.outcome);
    ++row.endings[result.ending];
    if (options.at != 0) return row;
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    const Options options = parse(argc, argv);
    std::unique_ptr<Subject> subject;
    if (options.subject == "shim") {
      subject = std::make_unique<ShimLife>(options.program.empty() ? DSTACK_SHIM : options.program, options.user);
    } else {
      subject = std::make_unique<RunnerLife>(options.program.empty() ? DSTACK_RUNNER : options.program);
    }
    std::vector<Row> rows;
    for (const FaultKind& kind : fault_kinds()) {
      if (options.only.empty() || kind.name == options.only) rows.push_back(sweep(*subject, kind, options));
    }
    return dstack::test::print(options.subject, rows) ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << "inject: " << error.what() << "\n";
    return 2;
  }
}
