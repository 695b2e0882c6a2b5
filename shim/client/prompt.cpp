#include "shim/client/prompt.h"

#include <poll.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <iostream>

#include "common/error.h"
#include "common/os/signals.h"
#include "common/text/letter_case.h"
#include "common/text/trim.h"

namespace dstack::shim::client {

namespace {

// The terminal at stdin with its echo off, until this goes.
class SilentTerminal {
 public:
  SilentTerminal() {
    if (::tcgetattr(STDIN_FILENO, &before_) != 0) throw os_error("read the settings of", "the terminal");
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    silent.c_lflag |= ECHONL;
    if (::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) != 0) throw os_error("turn off the echo of", "the terminal");
  }
  SilentTerminal(const SilentTerminal&) = delete;
  SilentTerminal& operator=(const SilentTerminal&) = delete;
  ~SilentTerminal() { ::tcsetattr(STDIN_FILENO, TCSADRAIN, &before_); }

 private:
  termios before_{};
};

// The signals that a person at the terminal may end the process with, held back while this lives.
class HeldSignals {
 public:
  HeldSignals() {
    ::pthread_sigmask(SIG_SETMASK, nullptr, &before_);
    watched_ = os::block_and_watch({SIGINT, SIGTERM, SIGHUP, SIGQUIT});
  }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  ~HeldSignals() {
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    if (taken_ != 0) ::raise(taken_);
  }

  int fd() const { return watched_.get(); }
  void take() { taken_ = os::next_signal(watched_); }

 private:
  sigset_t before_{};
  os::UniqueFd watched_;
  int taken_ = 0;
};

// Up to the line's end, which is taken as well. Nothing at the end of input, or when a signal came.
std::optional<std::string> read_line(HeldSignals& signals) {
  std::string line;
  while (true) {
    std::array<pollfd, 2> waited{
        {{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0}, {.fd = signals.fd(), .events = POLLIN, .revents = 0}}};
    if (::poll(waited.data(), waited.size(), -1) < 0) {
      if (errno == EINTR) continue;
      throw os_error("wait for", "the terminal");
    }
    if (waited[1].revents != 0) {
      signals.take();
      return std::nullopt;
    }
    char byte = 0;
    const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count <= 0) return line.empty() ? std::nullopt : std::optional(line);
    if (byte == '\n') return line;
    line += byte;
  }
}

}  // namespace

bool has_terminal() { return ::isatty(STDIN_FILENO) == 1; }

std::optional<std::string> ask(const std::string& question, Echo echo) {
  HeldSignals signals;
  std::optional<SilentTerminal> silent;
  if (echo == Echo::off) silent.emplace();
  std::cerr << question << std::flush;
  const auto line = read_line(signals);
  if (!line) {
    std::cerr << "\n";
    return std::nullopt;
  }
  return std::string(text::trim(*line));
}

bool ask_yes_or_no(const std::string& question) {
  while (true) {
    const auto answer = ask(question + " [y/N] ");
    const std::string word = text::lower_case(answer.value_or(""));
    if (word == "y" || word == "yes") return true;
    if (word.empty() || word == "n" || word == "no") return false;
  }
}

}  // namespace dstack::shim::client
