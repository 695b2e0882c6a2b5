#pragma once

#include <spdlog/sinks/callback_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <mutex>
#include <string>

namespace dstack::test {

// What the process logs while this lives, from any thread, without times and levels.
class Logged {
 public:
  Logged() : before_(spdlog::default_logger()) {
    const auto add = [this](const spdlog::details::log_msg& message) {
      const std::scoped_lock lock(mutex_);
      text_.append(message.payload.data(), message.payload.size()).append("\n");
    };
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::callback_sink_mt>(add)));
  }
  Logged(const Logged&) = delete;
  Logged& operator=(const Logged&) = delete;
  ~Logged() { spdlog::set_default_logger(before_); }

  std::string text() const {
    const std::scoped_lock lock(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
  std::shared_ptr<spdlog::logger> before_;
};

}  // namespace dstack::test
