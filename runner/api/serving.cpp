#include "runner/api/serving.h"

#include <spdlog/spdlog.h>

#include <chrono>

namespace dstack::runner::api {

namespace {

constexpr std::chrono::seconds kDrainLimit{5};

}  // namespace

Serving::Serving(http::Server& server, os::Clock& clock)
    : server_(server), clock_(clock), thread_([this] {
        try {
          server_.run();
        } catch (const std::exception& error) {
          spdlog::critical("The API has stopped: {}", error.what());
        }
        const os::Lock lock(mutex_);
        ended_ = true;
        changed_.notify_all();
      }) {}

Serving::~Serving() {
  server_.stop();
  {
    os::Lock lock(mutex_);
    const bool ended = clock_.wait_until(lock.native(), changed_, clock_.now() + kDrainLimit,
                                         [this]() DSTACK_REQUIRES(mutex_) { return ended_; });
    if (!ended) server_.close_connections();
  }
  thread_.join();
}

}  // namespace dstack::runner::api
