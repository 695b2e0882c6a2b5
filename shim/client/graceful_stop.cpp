#include "shim/client/graceful_stop.h"

#include <chrono>
#include <format>
#include <iostream>

#include "common/os/thread.h"
#include "common/termination_reason.h"
#include "shim/client/shim_api.h"
#include "shim/client/stopping.h"
#include "shim/client/text.h"

namespace dstack::shim::client {

namespace {

constexpr std::chrono::seconds kGrace{10};

}  // namespace

GracefulStop::GracefulStop(int shim_port, std::string task) : shim_port_(shim_port), task_(std::move(task)) {}

GracefulStop::~GracefulStop() {
  if (first_.joinable()) first_.join();
  if (second_.joinable()) second_.join();
}

void GracefulStop::next() {
  ++asked_;
  if (asked_ == 1) {
    std::cerr << std::format("stopping the command: it is killed after {} s; press Ctrl-C again to kill it now\n",
                             kGrace.count());
    first_ = os::start_thread("stop the command", [this] { terminate(kGrace); });
  } else if (asked_ == 2) {
    second_ = os::start_thread("kill the command", [this] { terminate(std::chrono::seconds{0}); });
  }
}

// On a thread of its own, so with a client of its own.
void GracefulStop::terminate(std::chrono::seconds grace) const {
  try {
    ShimApi shim(shim_port_);
    unless_gone([&] { shim.terminate(task_, termination_reason::kTerminatedByUser, "", grace); });
  } catch (const std::exception& error) {
    std::cerr << legible(error.what()) << "\n";
  }
}

}  // namespace dstack::shim::client
