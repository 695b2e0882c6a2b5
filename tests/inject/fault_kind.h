#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace dstack::test {

// A system call that a thread is about to make.
struct SystemCall {
  pid_t thread;
  long number;
  std::array<std::uint64_t, 6> arguments;
};

// An error that the kernel may answer with, and the calls that it may be the answer to.
struct FaultKind {
  std::string_view name;
  int error;
  bool (*applies)(const SystemCall& call);
};

std::span<const FaultKind> fault_kinds();

// The numbers of all calls that any kind may apply to.
std::span<const long> calls_of_interest();

}  // namespace dstack::test
