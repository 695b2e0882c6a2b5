#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace dstack::os {

// Tells the service manager that started this process how it does: the datagram protocol of sd_notify(3). Without one
// (no NOTIFY_SOCKET) every call does nothing, and so it does where the service manager does not listen: a service never
// fails over being unheard. From any thread.
class ServiceNotifier {
 public:
  // Reads the environment; later changes of it are not seen.
  ServiceNotifier();

  bool listens() const { return !address_.empty(); }

  void ready(std::string_view status);  // serves from now on
  void status(std::string_view text);   // one line for people
  void stopping();
  void alive();  // keeps the watchdog quiet

  // How long alive() may be away before the process is killed; nothing if no watchdog waits for this process.
  std::optional<std::chrono::microseconds> watchdog() const { return watchdog_; }

 private:
  void send(const std::string& state) const;

  std::string address_;  // of a Unix socket; a leading NUL for an abstract one
  std::optional<std::chrono::microseconds> watchdog_;
};

}  // namespace dstack::os
