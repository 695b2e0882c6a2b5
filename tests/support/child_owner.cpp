// Starts a program that is to die with its parent, prints its number and goes on:
//   child_owner PROGRAM ARGUMENTS…
#include <unistd.h>

#include <cstdio>

#include "common/os/child.h"

int main(int argc, char** argv) {
  const dstack::os::Child child({.arguments = {argv + 1, argv + argc}, .dies_with_parent = true});
  std::printf("%d\n", child.pid());
  std::fflush(stdout);
  while (true) ::pause();
}
