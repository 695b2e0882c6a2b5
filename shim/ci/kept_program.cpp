#include "shim/ci/kept_program.h"

#include <chrono>
#include <filesystem>
#include <format>

#include "common/os/child_lines.h"
#include "common/os/thread.h"
#include "shim/ci/own_program.h"

namespace dstack::shim::ci {

using namespace std::chrono_literals;

namespace {

// For a keeper whose launcher leaves: what it kills takes that long at most (keeper.cpp).
constexpr std::chrono::seconds kKeeperLimit = 10s;

os::ChildSpec keeper_spec(const KeptProgramSpec& spec) {
  os::ChildSpec child;
  child.arguments = {"dstack-shim", "ci", "keep"};
  if (spec.shim_port != 0)
    child.arguments.insert(child.arguments.end(), {"--shim-port", std::to_string(spec.shim_port)});
  child.arguments.emplace_back("--");
  child.arguments.insert(child.arguments.end(), spec.arguments.begin(), spec.arguments.end());
  child.program = own_program();
  child.environment = spec.environment;
  child.input = os::ChildStream::pipe();
  child.output = os::ChildStream::pipe();
  child.errors = os::ChildStream::pipe();
  child.own_session = true;  // an interrupt from the terminal is the launcher's
  child.spare_group = true;
  return child;
}

}  // namespace

KeptProgram::KeptProgram(const KeptProgramSpec& spec, LineTaker take_line, EndTaker take_end)
    : take_line_(std::move(take_line)),
      take_end_(std::move(take_end)),
      keeper_(keeper_spec(spec)),
      thread_(os::start_thread<std::jthread>("follow " + spec.arguments.at(0),
                                             [this](const std::stop_token& stop) { run(stop); })) {}

KeptProgram::~KeptProgram() {
  thread_.request_stop();
  thread_.join();
  keeper_.input().reset();
  keeper_.wait({}, keeper_.clock().now() + kKeeperLimit);
}

void KeptProgram::signal(int number) {
  const os::Lock lock(mutex_);
  signals_.push_back(number);
  ordered_.set();
}

void KeptProgram::kill() {
  const os::Lock lock(mutex_);
  kill_ = true;
  ordered_.set();
}

void KeptProgram::obey() {
  const os::Lock lock(mutex_);
  ordered_.clear();
  for (const int number : signals_) keeper_.signal(number);
  signals_.clear();
  if (kill_) keeper_.input().reset();
}

void KeptProgram::run(const std::stop_token& stop) {
  os::ChildLines lines(keeper_);
  while (true) {
    const os::ChildLines::Next next = lines.next(stop, {}, ordered_.fd());
    switch (next.outcome) {
      case os::ChildLines::Outcome::line: take_line_(next.text); break;
      case os::ChildLines::Outcome::woken: obey(); break;
      case os::ChildLines::Outcome::stopped: return;
      case os::ChildLines::Outcome::timed_out: break;
      case os::ChildLines::Outcome::ended:
        if (const auto status = keeper_.wait(stop)) take_end_(*status);
        return;
    }
  }
}

}  // namespace dstack::shim::ci
