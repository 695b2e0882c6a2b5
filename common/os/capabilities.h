#pragma once

namespace dstack::os {

// The parts of root's power that a container may lack, as numbered by the kernel.
enum class Capability : unsigned {
  chown = 0,
  dac_override = 1,
  setgid = 6,
  setuid = 7,
  sys_ptrace = 19,
  sys_resource = 24
};

// Whether this thread has it now. A kernel that cannot say is taken to say no.
bool has_capability(Capability capability);

}  // namespace dstack::os
