// The engine that tests turn, as a program for tests that are not C++. Prints the path of its socket and runs until its
// stdin is closed.
//
//   test_fake_engine_program IMAGE...    images that it has
#include <unistd.h>

#include <array>
#include <cstdio>

#include "tests/support/fake_engine.h"

int main(int argc, char** argv) {
  dstack::test::FakeEngine engine;
  for (int i = 1; i < argc; ++i) engine.add_image(argv[i]);
  std::printf("%s\n", engine.socket_path().c_str());
  std::fflush(stdout);
  std::array<char, 64> ignored{};
  while (::read(STDIN_FILENO, ignored.data(), ignored.size()) > 0) {
  }
}
