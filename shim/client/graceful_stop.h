#pragma once

#include <chrono>
#include <string>
#include <thread>

namespace dstack::shim::client {

// Stops the own program of an image when the person asks for it, beside whatever else goes on: the first time with ten
// seconds to end, the second time at once.
class GracefulStop {
 public:
  GracefulStop(int shim_port, std::string task);
  GracefulStop(const GracefulStop&) = delete;
  GracefulStop& operator=(const GracefulStop&) = delete;
  // Waits until the shim has answered what was asked.
  ~GracefulStop();

  void next();

 private:
  void terminate(std::chrono::seconds grace) const;

  const int shim_port_;
  const std::string task_;
  int asked_ = 0;
  std::thread first_;
  std::thread second_;
};

}  // namespace dstack::shim::client
