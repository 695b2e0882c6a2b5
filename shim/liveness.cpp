#include "shim/liveness.h"

#include <spdlog/spdlog.h>

#include <string>

#include "common/error.h"
#include "common/http/client.h"

namespace dstack::shim {

Liveness::Liveness(os::ServiceNotifier& notifier, std::function<bool()> answers, os::Clock& clock)
    : notifier_(notifier), answers_(std::move(answers)), clock_(clock) {
  if (const auto limit = notifier.watchdog()) thread_ = std::thread([this, limit] { watch(*limit); });
}

Liveness::~Liveness() {
  {
    const os::Lock lock(mutex_);
    gone_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Liveness::watch(std::chrono::microseconds limit) {
  os::Lock lock(mutex_);
  do {
    lock.unlock();
    if (answers_()) notifier_.alive();
    lock.lock();
  } while (!clock_.wait_until(lock.native(), changed_, clock_.now() + limit / 2,
                              [this]() DSTACK_REQUIRES(mutex_) { return gone_; }));
}

bool answers_health_check(int port) {
  try {
    http::Client client({.base_url = "http://127.0.0.1:" + std::to_string(port)});
    return client.send({.path = "/api/healthcheck", .total_limit = std::chrono::seconds(10)}).status == 200;
  } catch (const std::exception& error) {
    spdlog::warn("watchdog self-check failed: {}", error.what());
    return false;
  }
}

}  // namespace dstack::shim
