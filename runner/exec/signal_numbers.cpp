#include "runner/exec/signal_numbers.h"

#include <csignal>

#include "common/os/signals.h"

namespace dstack::runner::exec {

std::optional<int> signal_number(std::string_view name) {
  if (!name.starts_with("SIG")) return std::nullopt;
  // These have no name of their own in a job's messages.
  if (name == "SIGCHLD") return SIGCHLD;
  if (name == "SIGCONT") return SIGCONT;
  if (name == "SIGSTOP") return SIGSTOP;
  if (name == "SIGTSTP") return SIGTSTP;
  if (name == "SIGTTIN") return SIGTTIN;
  if (name == "SIGTTOU") return SIGTTOU;
  if (name == "SIGURG") return SIGURG;
  if (name == "SIGWINCH") return SIGWINCH;
  for (int number = 1; number < NSIG; ++number) {
    if (os::signal_name(number) == name) return number;
  }
  return std::nullopt;
}

}  // namespace dstack::runner::exec
