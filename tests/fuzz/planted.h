#pragma once

#include <cstdio>
#include <cstdlib>

namespace dstack::test {

// A bug on purpose, for `scripts/fuzz --planted`, which shows that the fuzzer of a target would find one: the process
// aborts where `condition` holds, if DSTACK_FUZZ_PLANTED is set. A condition is about what the parser made of an input
// that it accepted, so that nothing reaches it but through the parser, and no input of the corpus meets it.
inline void planted_bug(bool condition) {
  static const bool wanted = std::getenv("DSTACK_FUZZ_PLANTED") != nullptr;
  if (!condition || !wanted) return;
  std::fputs("the planted bug was reached\n", stderr);
  std::abort();
}

}  // namespace dstack::test
