// The shim's DCGM helper without the shim around it.

#include "shim/dcgm/helper.h"

int main(int argc, char** argv) {
  constexpr int not_a_helper = 2;
  return dstack::shim::dcgm::run_helper(argc, argv).value_or(not_a_helper);
}
