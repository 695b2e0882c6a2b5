#pragma once

#include <chrono>
#include <thread>

namespace dstack::test {

// Asks every few milliseconds; whether `done` became true in time.
template <typename Condition>
bool poll_until(std::chrono::milliseconds limit, Condition done) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace dstack::test
