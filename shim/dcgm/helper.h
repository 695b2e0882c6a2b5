#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/os/unique_fd.h"

namespace dstack::shim::dcgm {

// The program dcgm-health (helper.c), which this one carries with it: the shim is static and cannot open a library of
// the host. It lies in memory, so that no folder has to allow programs.
class HelperProgram {
 public:
  // Throws Error if the kernel does not let this process keep a program in memory.
  HelperProgram();

  // What starts it for the host engine at `address`, or one of its own if that is empty. Valid as long as this object.
  std::vector<std::string> command(const std::string& address = "") const;

 private:
  os::UniqueFd file_;
};

}  // namespace dstack::shim::dcgm
