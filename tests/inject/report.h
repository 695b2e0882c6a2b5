#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/inject/traced_program.h"

namespace dstack::test {

// What became of the lives in which one kind of fault struck.
struct Row {
  std::string kind;
  unsigned lives = 0;
  unsigned calls = 0;  // that the kind applies to, in the life that had most
  unsigned reached = 0;
  unsigned failed = 0;
  std::map<std::string, unsigned> endings;
  std::vector<std::string> problems;

  void add(const TracedProgram::Outcome& outcome);
};

// Prints a line for each row, and the problems. True if there are none and every call that was to fail did.
bool print(const std::string& title, const std::vector<Row>& rows);

}  // namespace dstack::test
