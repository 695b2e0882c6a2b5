#include "tests/inject/report.h"

#include <algorithm>
#include <format>
#include <iostream>

namespace dstack::test {

void Row::add(const TracedProgram::Outcome& outcome) {
  ++lives;
  calls = std::max(calls, outcome.seen);
  reached += outcome.reached;
  failed += outcome.failed;
}

bool print(const std::string& title, const std::vector<Row>& rows) {
  bool good = true;
  std::cout << title << "\n"
            << std::format("{:18} {:>6} {:>6} {:>8} {:>8}  {}\n", "error", "lives", "calls", "reached", "failed",
                           "endings");
  for (const Row& row : rows) {
    std::string endings;
    for (const auto& [ending, count] : row.endings)
      endings += std::format("{}{} {}", endings.empty() ? "" : ", ", ending, count);
    std::cout << std::format("{:18} {:6} {:6} {:8} {:8}  {}\n", row.kind, row.lives, row.calls, row.reached, row.failed,
                             endings);
    for (const std::string& problem : row.problems) std::cout << "PROBLEM: " << problem << "\n";
    good = good && row.problems.empty() && row.reached == row.failed;
  }
  std::cout << std::flush;
  return good;
}

}  // namespace dstack::test
