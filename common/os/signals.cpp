#include "common/os/signals.h"

#include <poll.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <format>
#include <iterator>

#include "common/error.h"

namespace dstack::os {

namespace {

struct NamedSignal {
  std::string_view name;
  int number;
};

constexpr NamedSignal kSignals[] = {
    {"SIGHUP", SIGHUP},       {"SIGINT", SIGINT},   {"SIGQUIT", SIGQUIT},   {"SIGILL", SIGILL},   {"SIGTRAP", SIGTRAP},
    {"SIGABRT", SIGABRT},     {"SIGBUS", SIGBUS},   {"SIGFPE", SIGFPE},     {"SIGKILL", SIGKILL}, {"SIGUSR1", SIGUSR1},
    {"SIGSEGV", SIGSEGV},     {"SIGUSR2", SIGUSR2}, {"SIGPIPE", SIGPIPE},   {"SIGALRM", SIGALRM}, {"SIGTERM", SIGTERM},
    {"SIGSTKFLT", SIGSTKFLT}, {"SIGCHLD", SIGCHLD}, {"SIGCONT", SIGCONT},   {"SIGSTOP", SIGSTOP}, {"SIGTSTP", SIGTSTP},
    {"SIGTTIN", SIGTTIN},     {"SIGTTOU", SIGTTOU}, {"SIGURG", SIGURG},     {"SIGXCPU", SIGXCPU}, {"SIGXFSZ", SIGXFSZ},
    {"SIGVTALRM", SIGVTALRM}, {"SIGPROF", SIGPROF}, {"SIGWINCH", SIGWINCH}, {"SIGIO", SIGIO},     {"SIGPWR", SIGPWR},
    {"SIGSYS", SIGSYS},
};

// As shells and Docker count real-time signals, whatever C library this program has: a C library keeps the first two or
// three for itself.
constexpr int kFirstRealTime = 34;
constexpr int kLastSignal = 64;

}  // namespace

UniqueFd block_and_watch(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : signals) sigaddset(&set, number);
  if (const int code = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); code != 0)
    throw os_error("block signals", "", code);
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) throw os_error("watch signals", "");
  return fd;
}

int next_signal(const UniqueFd& watched) {
  while (true) {
    signalfd_siginfo info{};
    const ssize_t count = ::read(watched.get(), &info, sizeof info);
    if (count == static_cast<ssize_t>(sizeof info)) return static_cast<int>(info.ssi_signo);
    if (count < 0 && errno != EAGAIN && errno != EINTR) throw os_error("read a pending signal", "");
    pollfd waiting{.fd = watched.get(), .events = POLLIN, .revents = 0};
    ::poll(&waiting, 1, -1);
  }
}

std::optional<std::string> signal_name(int number) {
  const auto* const found = std::ranges::find(kSignals, number, &NamedSignal::number);
  if (found != std::end(kSignals)) return std::string(found->name);
  if (number <= 0 || number > kLastSignal) return std::nullopt;
  if (number < kFirstRealTime) return std::format("SIG{}", number);
  if (number == kFirstRealTime) return "SIGRTMIN";
  return std::format("SIGRTMIN+{}", number - kFirstRealTime);
}

std::optional<int> signal_number(std::string_view name) {
  for (int number = 1; number <= kLastSignal; ++number) {
    if (signal_name(number) == name) return number;
  }
  return std::nullopt;
}

void ignore_broken_pipes() { std::signal(SIGPIPE, SIG_IGN); }

}  // namespace dstack::os
