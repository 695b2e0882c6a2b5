// A Docker engine without containers, for more tasks than a machine could run:
//   bench_simulated_engine IMAGE      the image that it has
// Prints the path of its socket; ends with its standard input.

#include <print>

#include <unistd.h>

#include "tests/support/fake_engine.h"

int main(int count, char** arguments) {
  if (count != 2) return 2;
  dstack::test::FakeEngine engine;
  engine.add_image(arguments[1]);
  std::println("{}", engine.socket_path());
  std::fflush(stdout);
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
}
